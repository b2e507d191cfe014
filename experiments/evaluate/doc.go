// Package evaluate measures a trained network on the test set of a dataset: loss and
// accuracy as training measures them after every epoch, and what these leave open, which
// classes are taken for which and how much the network's confidence is worth.
//
// It trains nothing and keeps nothing. Package trained opens the network, model and
// model/backend run it, report/figures draws what comes out.
package evaluate
