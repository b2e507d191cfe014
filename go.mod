module epochal

go 1.26.5

require github.com/google/go-cmp v0.7.0
