package model

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"epochal/dataset"
	"epochal/model/backend"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Network is a compiled network with its parameters on a device. It is not safe
// for concurrent use. Close frees what it holds on the device.
type Network struct {
	program Program
	backend *backend.Backend

	rows  int // of images on the device, see [Images]
	steps int // of an epoch of training

	training, evaluation *program
	parameters           []*tensors.Tensor // as in Program.parameters
}

// Compile compiles the two programs for an open backend, side by side. counts
// are the images in each set, in the order in which [Upload] gets them; the
// first is trained on. The network has no weights until SetWeights.
func Compile(b *backend.Backend, p Program, counts ...int) (*Network, error) {
	return compile(b, p, counts, func(n *Network) (*program, error) {
		if p.loops(b) {
			return buildTrainingLoop(b.Backend, p, n.rows, n.steps)
		}
		return buildTrainingStep(b.Backend, p, n.rows)
	})
}

// CompileEvaluation is [Compile] for a network that is only evaluated: it has no
// program for training.
func CompileEvaluation(b *backend.Backend, p Program, counts ...int) (*Network, error) {
	return compile(b, p, counts, func(*Network) (*program, error) { return nil, nil })
}

// compile is Compile with the training program that build builds.
func compile(b *backend.Backend, p Program, counts []int, build func(n *Network) (*program, error)) (*Network, error) {
	n := &Network{
		program: p,
		backend: b,
		rows:    residentRows(p.inputs(), counts),
		steps:   dataset.BatchCount(counts[0], p.BatchSize),
	}
	var trainingErr, evaluationErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		chunk := p.chunk(b.Backend)
		if b.Beside != nil {
			n.evaluation, evaluationErr = buildEvaluationLoop(b.Beside.Backend, p, chunk, 1)
		} else if b.StepLoops() {
			chunks := dataset.BatchCount(slices.Max(counts), chunk)
			n.evaluation, evaluationErr = buildEvaluationLoop(b.Backend, p, n.rows, chunks)
		} else {
			n.evaluation, evaluationErr = buildEvaluationChunk(b.Backend, p, n.rows)
		}
	}()
	n.training, trainingErr = build(n)
	<-done
	if err := cmp.Or(trainingErr, evaluationErr); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Close frees the parameters and programs. The backend stays open.
func (n *Network) Close() {
	finalize(n.parameters...)
	n.training.close()
	n.evaluation.close()
	n.parameters, n.training, n.evaluation = nil, nil, nil
}

// Program returns what the network was compiled from.
func (n *Network) Program() Program { return n.program }

// SetWeights copies weights to the device.
func (n *Network) SetWeights(weights Weights) error {
	fresh, err := parametersToDevice(n.backend, n.program.parameters(), weights)
	if err != nil {
		return err
	}
	finalize(n.parameters...)
	n.parameters = fresh
	return nil
}

// parametersToDevice copies the values of parameters to a device.
func parametersToDevice(b *backend.Backend, parameters []ParameterSpec, weights Weights) (all []*tensors.Tensor, err error) {
	for i, parameter := range parameters {
		tensor, err := toDevice(b, weights[i], parameter.Dims...)
		if err != nil {
			finalize(all...)
			return nil, fmt.Errorf("copying %s to the device: %w", parameter.Name, err)
		}
		all = append(all, tensor)
	}
	return all, nil
}

// Weights copies the parameters back to the host.
func (n *Network) Weights() (Weights, error) {
	weights := make(Weights, len(n.parameters))
	for i, parameter := range n.parameters {
		// A local copy left in the tensor would be stale after the next step.
		flat, err := tensors.CopyFlatData[float32](parameter)
		if err != nil {
			return nil, fmt.Errorf("copying weights from the device: %w", err)
		}
		weights[i] = flat
	}
	return weights, nil
}

// finalize frees tensors on the device; nil ones are left alone.
func finalize(all ...*tensors.Tensor) {
	for _, tensor := range all {
		if tensor != nil {
			tensor.FinalizeAll()
		}
	}
}

// toDevice copies flat values to the backend's device.
func toDevice[T float32 | int32 | uint8](b *backend.Backend, values []T, dimensions ...int) (*tensors.Tensor, error) {
	// Straight into a device buffer: a GoMLX tensor made on the host first would
	// copy the values twice.
	return newTensor(func() (compute.Buffer, error) {
		return b.BufferFromFlatData(device, values, shapes.Make(dtypes.FromGenericsType[T](), dimensions...))
	})
}

// newTensor wraps a device buffer.
func newTensor(make func() (compute.Buffer, error)) (tensor *tensors.Tensor, err error) {
	defer recovered(&err)
	buffer, err := make()
	if err != nil {
		return nil, err
	}
	if tensor, err = tensors.FromBuffer(buffer); err != nil {
		return nil, errors.Join(err, buffer.Finalize())
	}
	return tensor, nil
}

// device is the only device used: the CPU client is opened with one, and a
// network of this size gains nothing from several GPUs.
const device = compute.DeviceNum(0)

// train calls the training program with the inputs that are not parameters,
// keeps the new parameters and returns the losses. Reading them waits for the
// device: the whole call is done then.
//
// The parameters are donated to the call. If it fails, the network has none until
// SetWeights. Donated or not, XLA copies them once per call, because go-xla (v0.4.5) does
// not say which output takes the place of which input: the attribute tf.aliasing_output of
// main's inputs. Its stablehlo package can write it (NamedInputWithAttributes), but
// Function.Parameter of compute/xla passes no attributes, and Builder.Compile builds the
// text and compiles it in one go. Either would have to take a list of pairs, input and
// output. Written into the text by hand the parameters are shared and the bits stay the
// same; for a call of a quarter of a second the copy of 2.7 MB at 512,512 is nothing.
func (n *Network) train(inputs map[string]any) (losses []float32, err error) {
	defer recovered(&err)
	given := n.parameters
	n.parameters = nil
	for i, parameter := range n.program.parameters() {
		if inputs[parameter.Name], err = graph.DonateTensorBuffer(given[i], n.backend.Backend, device); err != nil {
			return nil, err
		}
	}
	outputs, err := n.training.run(inputs)
	if err != nil {
		return nil, err
	}
	n.parameters = outputs[1:]
	defer finalize(outputs[0])
	return tensors.CopyFlatData[float32](outputs[0])
}
