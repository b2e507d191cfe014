package model

import (
	"errors"
	"fmt"

	"epochal/model/backend"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
)

// Program is everything that is compiled into a network's two programs. The
// learning rate and the normalization are not: they are inputs of every call.
type Program struct {
	Topology  Topology
	BatchSize int // images per SGD step, at least 1

	// SingleSteps makes every SGD step a call of the device, as it is anyway where
	// the device has no loops. A program of one step does not copy the parameters
	// into a loop and the losses of the whole epoch out of it, so that step by step
	// it is the faster one.
	SingleSteps bool
}

// loops tells whether the training program runs many steps per call on b.
func (p Program) loops(b *backend.Backend) bool { return b.StepLoops() && !p.SingleSteps }

// Validate reports what is impossible in p.
func (p Program) Validate() error {
	if err := p.Topology.Validate(); err != nil {
		return err
	}
	if p.BatchSize < 1 {
		return fmt.Errorf("batch size: found %d, expected at least 1", p.BatchSize)
	}
	return nil
}

// Network is a compiled network with its parameters on a device. It is not safe
// for concurrent use. Close frees what it holds on the device.
type Network struct {
	program Program
	backend *backend.Backend
	sizes   Sizes

	training, evaluation *graph.Graph
	parameters           []*tensors.Tensor // weight [out, in], bias [out], ... as in [parameterNodes]
}

// Sizes are the amounts of data that a network is compiled for.
type Sizes struct {
	Rows    int // resident rows, see [Images]
	Epoch   int // images in an epoch of training
	Largest int // images in the largest section that is evaluated
}

// steps is the number of SGD steps in an epoch.
func (n *Network) steps() int { return ceilDivide(n.sizes.Epoch, n.program.BatchSize) }

func ceilDivide(a, b int) int { return (a + b - 1) / b }

// Compile compiles the two programs for an open backend, side by side. The
// network has no weights until SetWeights.
func Compile(b *backend.Backend, p Program, sizes Sizes) (*Network, error) {
	return compile(b, p, sizes, func(steps int) (*graph.Graph, error) {
		if p.loops(b) {
			return buildTrainingLoop(b.Backend, p, sizes.Rows, steps)
		}
		return buildTrainingStep(b.Backend, p, sizes.Rows)
	})
}

// compile is Compile with the training program that build builds, given the
// number of steps in an epoch.
func compile(b *backend.Backend, p Program, sizes Sizes, build func(steps int) (*graph.Graph, error)) (*Network, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	n := &Network{program: p, backend: b, sizes: sizes}
	var trainingErr, evaluationErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		if b.StepLoops() {
			n.evaluation, evaluationErr = buildEvaluationLoop(b.Backend, p, sizes.Rows, ceilDivide(sizes.Largest, evaluationChunk(p.Topology.Inputs)))
		} else {
			n.evaluation, evaluationErr = buildEvaluationChunk(b.Backend, p, sizes.Rows)
		}
	}()
	n.training, trainingErr = build(n.steps())
	<-done
	for _, err := range []error{trainingErr, evaluationErr} {
		if err != nil {
			n.Close()
			return nil, err
		}
	}
	return n, nil
}

// Close frees the parameters and programs. The backend stays open.
func (n *Network) Close() {
	finalize(n.parameters...)
	n.parameters = nil
	for _, program := range []*graph.Graph{n.training, n.evaluation} {
		if program != nil {
			program.Finalize()
		}
	}
	n.training, n.evaluation = nil, nil
}

// Program returns what the network was compiled from.
func (n *Network) Program() Program { return n.program }

// SetWeights copies weights to the device.
func (n *Network) SetWeights(weights Weights) (err error) {
	if err := weights.check(n.program.Topology); err != nil {
		return err
	}
	var fresh []*tensors.Tensor
	defer func() {
		if err != nil {
			finalize(fresh...)
			err = fmt.Errorf("copying weights to the device: %w", err)
		}
	}()
	for i, layer := range n.program.Topology.Layers() {
		weight, err := toDevice(n.backend, weights[i].Weight, layer.Out, layer.In)
		if err != nil {
			return err
		}
		fresh = append(fresh, weight)
		bias, err := toDevice(n.backend, weights[i].Bias, layer.Out)
		if err != nil {
			return err
		}
		fresh = append(fresh, bias)
	}
	finalize(n.parameters...)
	n.parameters = fresh
	return nil
}

// finalize frees tensors on the device; nil ones are left alone.
func finalize(all ...*tensors.Tensor) {
	for _, tensor := range all {
		if tensor != nil {
			tensor.FinalizeAll()
		}
	}
}

// Weights copies the parameters back to the host.
func (n *Network) Weights() (Weights, error) {
	if err := n.ready(); err != nil {
		return nil, err
	}
	weights := make(Weights, len(n.parameters)/2)
	for i := range weights {
		for j, values := range []*[]float32{&weights[i].Weight, &weights[i].Bias} {
			flat, err := tensors.CopyFlatData[float32](n.parameters[2*i+j])
			if err != nil {
				return nil, fmt.Errorf("copying weights from the device: %w", err)
			}
			// A local copy left in the tensor would be stale after the next step.
			*values = flat
		}
	}
	return weights, nil
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

// ready reports a network without weights: none were set, or a call that had
// them donated failed.
func (n *Network) ready() error {
	if len(n.parameters) == 0 {
		return errors.New("the network has no weights: expected SetWeights first")
	}
	return nil
}

// run calls a compiled program. When donate is set the network's parameters are
// given to the call, to be updated in place, and the network has none until the
// caller sets the new ones.
func (n *Network) run(program *graph.Graph, donate bool, inputs ...any) (outputs []*tensors.Tensor, err error) {
	defer recovered(&err)
	if err := n.ready(); err != nil {
		return nil, err
	}
	given := n.parameters
	if donate {
		n.parameters = nil
	}
	for _, parameter := range given {
		if !donate {
			inputs = append(inputs, parameter)
			continue
		}
		donated, err := graph.DonateTensorBuffer(parameter, n.backend.Backend, device)
		if err != nil {
			return nil, err
		}
		inputs = append(inputs, donated)
	}
	return program.Run(inputs...), nil
}
