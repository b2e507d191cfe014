// Package train runs the post's experiment: one run of a config.
package train
