package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/serve"
	"epochal/experiments/train"
	"epochal/model/backend"

	"github.com/spf13/cobra"
)

// newServe is `epochal serve`.
func newServe(t *terminal) *cobra.Command {
	address, save := "127.0.0.1:8080", "drawings"
	config := serve.Quick()
	var network networkFlags
	command := &cobra.Command{
		Use:   "serve [run | file]",
		Short: "Draw on a web page, and see what a network makes of it",
		Long: `Serve a page on this machine to draw on with mouse, finger, pen or keys. With
every stroke a network answers: the probability of each class, the image that it
sees, and what its hidden layers do. Image files can be opened, too.

The network is that of a run folder or of a safetensors file. Without either, a
small network is trained first, which takes seconds, while the page shows how
the loss falls; its run is kept in runs/ like any other.

A drawing that got a wrong answer can be saved with its right label, as PNG and
in a folder of four IDX files, which train --data reads.

Nobody but this machine can reach the page, unless --address names another of
its addresses. Ctrl-C ends the server.`,
		Example: `  epochal serve
  epochal serve runs/2026-11-23_16-35-10
  epochal serve model.safetensors --address 127.0.0.1:0`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return networkArgument(0, 0, " at most")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			options := serve.Options{Save: save, Warn: t.warn}
			if err := options.CheckSave(); err != nil {
				return fmt.Errorf("--save: %w", record.Unwritable(err))
			}
			server := serve.New(options)
			found, names := "without a run or file, expected it with weights that do not say it", networkFlagNames
			if len(args) == 1 {
				found, names = "with a run or file, expected it only where a network is trained first", append(dataFlagNames, "backend")
			}
			for _, name := range names {
				if c.Flags().Changed(name) {
					return usageError{err: fmt.Errorf("--%s: found it %s", name, found)}
				}
			}
			if len(args) == 1 {
				n, err := network.openForPictures(t, c, args[0])
				if err != nil {
					return err
				}
				server.Use(n)
			} else if err := config.Validate(); err != nil {
				return err
			}
			listener, err := listen(address)
			if err != nil {
				return err
			}
			place := listener.Addr().(*net.TCPAddr)
			if place.IP.IsUnspecified() {
				address = net.JoinHostPort("localhost", strconv.Itoa(place.Port)) // one of its names
			} else {
				address = place.String()
			}
			if !place.IP.IsLoopback() {
				t.note("warning: whoever can reach this address can draw, and save drawings to %s", save)
			}
			ctx, cancel := context.WithCancel(c.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- server.Serve(ctx, listener) }()
			t.printf("draw on http://%s/ (Ctrl-C ends it)\n", address)
			if len(args) == 0 {
				err = trainQuickly(ctx, t, server, config)
			}
			if err != nil {
				cancel()
			}
			return cmp.Or(err, <-ended, t.failed)
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.StringVar(&address, "address", address, "`host:port` of the page; port 0 takes one that is free")
	flags.StringVar(&save, "save", save, "`folder` of the drawings that are saved")
	addDataFlags(flags, dataFlags{&config.Data, &config.Split, &config.Transpose, &config.TestShare},
		"what a small network is trained on: "+dataUsage)
	flags.StringVar(&config.Backend, "backend", config.Backend,
		"what it is trained by: auto, xla:cpu, xla:cuda, go, or any GoMLX backend `string`")
	network.add(flags)
	command.MarkFlagDirname("save")
	command.MarkFlagDirname("data")
	command.RegisterFlagCompletionFunc("backend",
		cobra.FixedCompletions([]string{backend.Auto, backend.XLACPU, backend.XLACUDA, backend.Go}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// listen takes the address of the page, on this machine only unless it says otherwise.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usageError{err: fmt.Errorf("--address: found %q, expected a host and a port such as 127.0.0.1:8080", address)}
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return nil, usageError{err: fmt.Errorf("--address: found the port %q, expected 0 to 65535", port)}
	}
	address = net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port)
	listener, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, addressInUse{fmt.Errorf("--address: %s: another program uses it, expected a free port", address)}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("--address: found %s, expected an address of this machine", host)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("--address: the port %s is only for administrators, expected one from 1024 on", port)
	case errors.As(err, new(*net.DNSError)):
		return nil, fmt.Errorf("--address: found no host that is called %q, expected the name or the number of this machine", host)
	default:
		return nil, fmt.Errorf("--address: %w", err)
	}
}

// addressInUse is the error of an address that is taken.
type addressInUse struct{ error }

// Hint says how to get another.
func (addressInUse) Hint() string { return "--address 127.0.0.1:0 takes a port that is free" }

// trainQuickly trains the network of a server that was given none.
func trainQuickly(ctx context.Context, t *terminal, server *serve.Server, config experiments.Config) error {
	t.note("training a small network first")
	err := server.Train(ctx, config, train.Options{Parent: "runs", CheckpointEvery: 1, Observer: func(event experiments.Event) {
		switch e := event.(type) {
		case experiments.Warning:
			t.warn(e.Text)
		case experiments.PluginProgress:
			printInstallation(t, e.Progress)
		case experiments.StepsDone:
			t.progress("epoch %d/%d, %d/%d images", e.Epoch, config.Epochs, e.Samples, e.Count)
		case experiments.RunEnded:
			t.note("trained: test accuracy %.2f%%; run folder %s", 100*e.Result.Final.TestAccuracy, e.Result.Folder)
		}
	}})
	t.end()
	if stopped, ok := errors.AsType[train.Stopped](err); ok {
		return again{err, commandLine("train", "--resume", stopped.Folder), ""}
	}
	return err
}
