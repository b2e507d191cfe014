package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"epochal/dataset"
	"epochal/experiments"
	"epochal/experiments/record"
	"epochal/experiments/report/words"
	"epochal/experiments/train"
	"epochal/experiments/trained"
	"epochal/model"
	"epochal/model/backend"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newTrain is `epochal train`.
func newTrain(t *terminal) *cobra.Command {
	config := experiments.Defaults()
	options := train.Options{Parent: "runs", CheckpointEvery: 1, Keep: record.KeepLast}
	var resume string
	var required float64
	var quiet, board bool
	command := &cobra.Command{
		Use:   "train",
		Short: "Train a network and evaluate it after every epoch",
		Long: `Train a fully connected network, or with --conv-channels a convolutional one,
with plain SGD and evaluate it on the training and test sets after every epoch.
Without flags this is the post's first attempt as published: layer sizes
512,512, 20 epochs, learning rate 0.001, batch size 64, inputs scaled to 0..1.

A missing plugin is installed first. The run folder gets config.json,
environment.json, metrics.jsonl, evaluation.json, model.safetensors and
checkpoints/.

--resume continues an interrupted run, bit for bit as if it had never stopped.
Its settings come from its config.json; only --epochs, --patience, --backend,
--tf32, --deterministic, --steps-per-call, --checkpoint-every and --keep may
differ. --data and --init say where the same data and weights are now, if they
were moved.`,
		Example: `  epochal train
  epochal train --normalize --epochs 5
  epochal train --validation 5000 --patience 3 --epochs 100 --max-time 10m
  epochal train --layer-sizes "" --learning-rate 0.01 --require-accuracy 0.85
  epochal train --conv-channels 16,32 --layer-sizes 128 --learning-rate 0.05
  epochal train --resume runs/2026-11-23_16-35-10 --epochs 40`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("require-accuracy") && !(required > 0 && required <= 1) {
				return experiments.Problem{Field: "require_accuracy", Found: experiments.FormatFloat(required),
					Expected: "a fraction above 0 and up to 1, such as 0.89"}
			}
			if c.Flags().Changed("resume") {
				var err error
				if config, err = resumedConfig(c.Flags(), resume); err != nil {
					return err
				}
				options.Folder, options.Resume = resume, true
				if !c.Flags().Changed("keep") {
					options.Keep = "" // as before
				}
			}
			changed := c.Flags().Changed
			if config.Init != "" && changed("init") && !options.Resume {
				convolutions := !changed("conv-channels") && !changed("conv-kernel")
				if err := continueNetwork(&config, !changed("layer-sizes"), convolutions, !changed("activation")); err != nil {
					return err
				}
			}
			printer := &trainPrinter{terminal: t, config: config, reading: t.reading()}
			options.Observer, options.WantCUDA = printer.observe, t.wantCUDA
			if quiet {
				options.Observer = printer.observeQuietly
			}
			if board {
				options.Observer = both(options.Observer, t.tensorBoard())
			}
			result, err := train.Run(c.Context(), config, options)
			t.end()
			if stopped, ok := errors.AsType[train.Stopped](err); ok {
				err = again{err, commandLine(resumeArguments(c.Flags(), stopped.Folder)...), ""}
				if errors.Is(err, train.ErrMaxTime) && stopped.At == (experiments.Position{Epoch: 1}) {
					return fmt.Errorf("--max-time: found %v, expected longer: nothing was trained in it", options.MaxTime)
				}
				if errors.Is(err, train.ErrMaxTime) && t.failed == nil {
					t.note("%v after %v; %s", err, options.MaxTime, stopped.Saved())
					printHint(t.err, err)
					return nil
				}
				return err
			} else if err != nil {
				if printer.folder != "" {
					t.note("the run ended early; its metrics are in %s", printer.folder)
				}
				return err
			}
			if t.failed != nil {
				return t.failed
			}
			if result.Final.TestAccuracy < required {
				return notMet{fmt.Errorf("test accuracy: found %.4f, required at least %s",
					result.Final.TestAccuracy, experiments.FormatFloat(required))}
			}
			return nil
		},
	}
	flags := command.Flags()
	flags.SortFlags = false
	addConfigFlags(flags, &config)
	flags.IntVar(&options.Threads, "threads", 0,
		"`threads` of XLA on the CPU; 0: as many as suit the work of a step; never changes results")
	flags.IntVar(&options.GPU, "device", 0, "`number` of the GPU, of those that CUDA_VISIBLE_DEVICES allows")
	flags.StringVar(&options.Folder, "out", "", "run `folder`, new or empty (default runs/<date>_<time>)")
	flags.DurationVar(&options.MaxTime, "max-time", 0,
		"`time`, such as 10m, after which the run is saved and ends; --resume continues it; exit code 0")
	flags.IntVar(&options.CheckpointEvery, "checkpoint-every", options.CheckpointEvery,
		"`epochs` between two checkpoints; 0: only on interrupt and at the end")
	flags.StringVar(&options.Keep, "keep", options.Keep,
		"`which` checkpoints to keep: last, or best, which also keeps the epoch with the lowest validation loss (else training loss)")
	flags.StringVar(&resume, "resume", "", "`folder` of the interrupted run to continue")
	flags.Float64Var(&required, "require-accuracy", 0, "exit with code 3 if the final test accuracy is below this `fraction`, such as 0.89")
	flags.BoolVar(&quiet, "quiet", false, "print a line for each epoch and one for the run folder, and nothing else but warnings and errors")
	flags.BoolVar(&board, "tensorboard", false, tensorBoardUsage)
	command.MarkFlagDirname("resume")
	command.RegisterFlagCompletionFunc("keep",
		cobra.FixedCompletions([]string{record.KeepLast, record.KeepBest}, cobra.ShellCompDirectiveNoFileComp))
	command.RegisterFlagCompletionFunc("backend",
		cobra.FixedCompletions([]string{backend.Auto, backend.XLACPU, backend.XLACUDA, backend.Go}, cobra.ShellCompDirectiveNoFileComp))
	var activations []string
	for _, activation := range model.Activations() {
		activations = append(activations, string(activation))
	}
	command.RegisterFlagCompletionFunc("activation", cobra.FixedCompletions(activations, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// continueNetwork gives c the widths and the convolutions of its initial weights and, if the
// file says it, their activation, as far as they are wanted.
func continueNetwork(c *experiments.Config, widths, convolutions, activation bool) error {
	n, err := trained.Open(c.Init, model.Hints{})
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	network, _ := n.Description.Architecture.(model.FullyConnected)
	convolutional, behind := n.Description.Architecture.(model.Convolutional)
	if behind {
		network = convolutional.FullyConnected
	}
	if widths {
		c.LayerSizes = append([]int{}, network.Hidden...)
	}
	if convolutions {
		c.ConvChannels, c.ConvKernel = convolutional.Channels, convolutional.Kernel
	}
	if activation && n.Described() {
		c.Activation = string(network.Activation)
	}
	return nil
}

// resumedConfig is the config of a run folder with the flags that were given.
func resumedConfig(flags *pflag.FlagSet, folder string) (config experiments.Config, err error) {
	if flags.Changed("out") {
		return config, usageError{err: fmt.Errorf("--resume and --out: found both, expected one; a run continues in its own folder")}
	}
	if config, err = record.ReadConfig(folder); err != nil {
		return config, err
	}
	recorded := pflag.NewFlagSet("", pflag.ContinueOnError)
	addConfigFlags(recorded, &config)
	flags.Visit(func(flag *pflag.Flag) {
		if same := recorded.Lookup(flag.Name); same != nil {
			err = errors.Join(err, same.Value.Set(flag.Value.String()))
		}
	})
	config.Data, config.Init = moved(flags, "data", folder, config.Data), moved(flags, "init", folder, config.Init)
	return config, err
}

// moved is the name that the config of a run folder has for what a flag names.
func moved(flags *pflag.FlagSet, flag, folder, name string) string {
	if flags.Changed(flag) {
		return record.Named(folder, name)
	}
	return name
}

// resumeArguments are the arguments that continue a run: flags that its folder
// does not record are repeated.
func resumeArguments(flags *pflag.FlagSet, folder string) []string {
	args := []string{"train", "--resume", folder}
	for _, name := range []string{"threads", "device", "max-time", "checkpoint-every", "keep", "require-accuracy", "quiet", "tensorboard"} {
		switch flag := flags.Lookup(name); {
		case !flag.Changed:
		case flag.Value.Type() != "bool":
			args = append(args, "--"+name, flag.Value.String())
		case flag.Value.String() == "true":
			args = append(args, "--"+name)
		}
	}
	return args
}

// addConfigFlags adds a flag for every field of a Config. The names are those of
// config.json with a dash for the underscore.
func addConfigFlags(flags *pflag.FlagSet, c *experiments.Config) {
	flags.Var((*layerSizes)(&c.LayerSizes), "layer-sizes", "`widths` of the hidden layers, separated by commas; \"\" for none")
	flags.Var((*layerSizes)(&c.ConvChannels), "conv-channels",
		"`channels` of convolutions before the hidden layers, separated by commas, each with 2x2 max pooling behind it")
	flags.IntVar(&c.ConvKernel, "conv-kernel", c.ConvKernel,
		fmt.Sprintf("`pixels` on each side of the square kernels; no padding (default %d)", experiments.DefaultConvKernel))
	flags.StringVar(&c.Activation, "activation", c.Activation, "`function` after each convolution and hidden layer: relu, sigmoid, tanh")
	flags.IntVar(&c.Epochs, "epochs", c.Epochs, "passes over the training set")
	flags.Float64Var(&c.LearningRate, "learning-rate", c.LearningRate, "`rate` of plain SGD")
	flags.IntVar(&c.BatchSize, "batch-size", c.BatchSize, "`images` per SGD step; the last batch of an epoch may be smaller")
	flags.BoolVar(&c.Normalize, "normalize", c.Normalize, "subtract the pixel mean and divide by the deviation (MNIST: 0.1307, 0.3081)")
	flags.BoolVar(&c.Shuffle, "shuffle", c.Shuffle, "reorder the training set every epoch")
	flags.Uint64Var(&c.Seed, "seed", c.Seed, "`number` that determines the initial weights and the order of images")
	addDataFlags(flags, dataFlags{&c.Data, &c.Split, &c.Transpose, &c.TestShare}, dataUsage)
	flags.IntVar(&c.TrainImages, "train-images", c.TrainImages, "training `images` to use, those held out included, drawn by the seed; 0: all")
	flags.Uint64Var(&c.PermutePixels, "permute-pixels", c.PermutePixels,
		"`number` that draws one order of the pixels for all images, as a control; 0: as they are")
	flags.IntVar(&c.Validation, "validation", c.Validation, "training `images` to hold out and evaluate separately")
	flags.IntVar(&c.Patience, "patience", c.Patience,
		"`epochs` without a lower validation loss after which the run ends; 0: never; needs --validation")
	flags.StringVar(&c.Init, "init", c.Init,
		"safetensors `file` with the initial weights, which also gives layer sizes, convolutions and activation (default: drawn from the seed)")
	flags.StringVar(&c.Backend, "backend", c.Backend, "auto, xla:cpu, xla:cuda, go, or any GoMLX backend `string`")
	flags.BoolVar(&c.TF32, "tf32", c.TF32, "allow TF32 matrix products on CUDA: faster, less exact")
	flags.BoolVar(&c.Deterministic, "deterministic", c.Deterministic, deterministicUsage)
	flags.IntVar(&c.StepsPerCall, "steps-per-call", c.StepsPerCall,
		"SGD `steps` per device call; 0: as many as take about a quarter of a second; never changes results")
}

const deterministicUsage = "the same bits in every run on one CUDA GPU; =false lets XLA choose kernels by timing them, perhaps faster ones"

// layerSizes is the value of --layer-sizes.
type layerSizes []int

// String writes the widths as Set reads them.
func (l *layerSizes) String() string { return words.Widths(*l, ",") }

// Set reads widths separated by commas; an empty text means no hidden layer.
func (l *layerSizes) Set(text string) error {
	*l = []int{}
	text = strings.Trim(text, "[] ") // the form in which the post's line prints them
	if text == "" {
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		width, err := strconv.Atoi(strings.TrimSpace(part))
		if errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("found %q, expected whole numbers of at most %d, separated by commas", part, model.MaxWidth)
		} else if err != nil {
			return fmt.Errorf("found %q, expected whole numbers separated by commas", part)
		}
		*l = append(*l, width)
	}
	return nil
}

// Type names the value in help texts.
func (l *layerSizes) Type() string { return "widths" }

// trainPrinter prints a run as the post's loop prints it.
type trainPrinter struct {
	*terminal
	config  experiments.Config
	reading func(done, total int)
	started time.Time
	folder  string
	total   int // images trained on in the whole run
	first   int // those of them that were trained on before the run was resumed
}

// observe prints one event.
func (p *trainPrinter) observe(event experiments.Event) {
	switch e := event.(type) {
	case experiments.Warning:
		p.warn(e.Text)
	case experiments.PluginProgress:
		printInstallation(p.terminal, e.Progress)
	case experiments.DataProgress:
		p.reading(e.Done, e.Total)
	case experiments.RunStarted:
		p.end()
		p.started, p.folder, p.total = time.Now(), e.Folder, e.Config.Epochs*e.Train
		p.first = (e.At.Epoch-1)*e.Train + min(e.At.Step*e.Config.BatchSize, e.Train)
		p.printf("Starting new epoch loop with layer_sizes: [%s], num_epochs: %d, learning_rate: %s, batch_size: %d\n",
			words.Widths(e.Config.LayerSizes, ", "), e.Config.Epochs, experiments.FormatFloat(e.Config.LearningRate), e.Config.BatchSize)
		p.printf("%s\n", e.Architecture)
		p.note("training on %s (%s)", e.Backend.Name, e.Backend.Device)
		if e.Resumed {
			p.note("continuing %s at step %d of epoch %d", e.Folder, e.At.Step, e.At.Epoch)
		}
	case experiments.AlreadyEnded:
		larger := "--epochs"
		if e.Result.Final.Epoch < p.config.Epochs {
			larger = "--patience"
		}
		p.note("%s is already complete: %d epochs, test accuracy %.2f%%; a larger %s would continue it",
			e.Result.Folder, e.Result.Final.Epoch, 100*e.Result.Final.TestAccuracy, larger)
	case experiments.EpochStarted:
		p.printf("Epoch %d\n-------------------------------\n", e.Epoch)
	case experiments.StepsDone:
		p.steps(e)
	case experiments.EpochDone: // the post's two lines, and a third for a validation set
		m := e.Metrics
		p.printf("\nTrain - Accuracy: %0.1f%%, Avg loss: %8f\n", 100*m.TrainAccuracy, m.TrainLoss)
		if m.ValidationLoss != nil {
			p.printf("Validation - Accuracy: %0.1f%%, Avg loss: %8f\n", 100**m.ValidationAccuracy, *m.ValidationLoss)
		}
		p.printf("Test - Accuracy: %0.1f%%, Avg loss: %8f \n\n", 100*m.TestAccuracy, m.TestLoss)
	case experiments.RunEnded:
		r := e.Result
		if r.Final.Epoch < p.config.Epochs {
			p.note("the run ended after %d of %d epochs: the validation loss had not fallen for %s",
				r.Final.Epoch, p.config.Epochs, words.Counted(p.config.Patience, "epoch"))
		}
		p.printf("%s: train accuracy %.2f%%, test accuracy %.2f%%; %.0f images/s in training; "+
			"open %.2f s, compile %.2f s, wait for data %.2f s, train %.2f s, evaluate %.2f s; run folder %s\n",
			r.Backend.Name, 100*r.Final.TrainAccuracy, 100*r.Final.TestAccuracy, r.ImagesPerSecond(),
			r.OpenSeconds, r.CompileSeconds, r.WaitSeconds, r.TrainSeconds, r.EvaluateSeconds, r.Folder)
		if r.BestEpoch > 0 {
			p.note("the best epoch was %d; its weights are in %s", r.BestEpoch, filepath.Join(r.Folder, record.CheckpointsFolder, record.BestFile))
		}
		p.commands("what comes next:", commandLine("show", r.Folder), commandLine("predict", r.Folder)+" IMAGE", commandLine("serve", r.Folder))
	}
}

// observeQuietly prints an event with --quiet: a line for each epoch, one for the run
// folder at the end, and what would be an error or a warning.
func (p *trainPrinter) observeQuietly(event experiments.Event) {
	switch e := event.(type) {
	case experiments.Warning, experiments.AlreadyEnded:
		p.observe(event)
	case experiments.RunEnded:
		p.printf("run folder %s\n", e.Result.Folder)
	case experiments.RunStarted:
		p.folder = e.Folder
	case experiments.EpochDone:
		m := e.Metrics
		line := fmt.Sprintf("epoch %d: train accuracy %.2f%%, loss %.6f; ", m.Epoch, 100*m.TrainAccuracy, m.TrainLoss)
		if m.ValidationLoss != nil {
			line += fmt.Sprintf("validation accuracy %.2f%%, loss %.6f; ", 100**m.ValidationAccuracy, *m.ValidationLoss)
		}
		p.printf("%stest accuracy %.2f%%, loss %.6f\n", line, 100*m.TestAccuracy, m.TestLoss)
	}
}

// steps prints every hundredth loss, and the live line.
func (p *trainPrinter) steps(e experiments.StepsDone) {
	for _, line := range e.Reported(p.config.BatchSize) {
		p.printf("loss: %7f  [%5d/%5d]\n", line.Loss, line.Samples, e.Count)
	}
	if len(e.Losses) == 0 {
		return
	}
	left := ""
	if elapsed := time.Since(p.started); elapsed > time.Second {
		left = fmt.Sprintf(", %v left", (elapsed / time.Duration(e.Images-p.first) * time.Duration(p.total-e.Images)).Round(time.Second))
	}
	p.progress("epoch %d/%d step %d/%d loss %.4f, %.0f images/s%s",
		e.Epoch, p.config.Epochs, e.First+len(e.Losses), dataset.BatchCount(e.Count, p.config.BatchSize),
		e.Losses[len(e.Losses)-1], float64(e.Images)/e.Trained.Seconds(), left)
}
