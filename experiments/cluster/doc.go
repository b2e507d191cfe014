// Package cluster hands the shards of a command to a cluster's own scheduler: [Slurm]
// submits them as an array job, [Kubernetes] writes an Indexed Job.
//
// A shard is the command with `--shard i/N`, and which runs it has depends on N in the
// command alone. So a scheduler may start it anywhere, stop it and start it again, and the
// records in the shared folder tell what is left. The package knows nothing of runs: whoever
// calls it says which shards have missing runs and how many records there are.
//
// What it does to Slurm is one shell script, which [Slurm.Script] shows and [Slurm.Submit]
// runs. Nothing is kept between two calls: the names of jobs say what they are, and squeue
// says which of them are there. Slurm's accounting is not needed.
package cluster
