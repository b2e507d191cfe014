// Package serve is the draw page: a web page on this machine on which one draws,
// and a network answers with every stroke.
//
// A [Server] answers to three paths besides the files of the page:
//
//	GET  /state     the network, or how far its training is
//	POST /classify  a drawing or an image file in, an [Answer] out
//	POST /save      the same with ?label=, added to a folder that a training reads
//
// A drawing is [height, width] grey bytes, with ?width= and ?height=; without them the
// body is an image file. Package picture prepares both as it does for every other use
// of a network, package dataset keeps the folder, and package train trains the network
// of a server that was given none. The page needs no other host, and the server
// answers to nobody who calls it by another host's name.
//
// The package opens no network from a file by itself (trained does), and prints nothing.
package serve
