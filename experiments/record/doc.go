// Package record keeps the record of a run in its run folder.
package record
