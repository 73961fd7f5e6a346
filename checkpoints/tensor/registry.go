package tensor

import (
	"maps"
	"strings"
	"sync"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// config is what the pickle machine needs for an object with tensors.
func (r *rebuilder) config(options Options, persistent func(pickle.Value) (pickle.Value, error)) pickle.Config {
	return pickle.Config{Limits: options.Pickle, Globals: r.registry(), Record: isRecord, Opaque: options.Opaque, Persistent: persistent, Budget: r.budget}
}

// isRecord knows the one class of the Python system that files hold: the entries of its vector memory. It is named by the
// module it was imported as, which may lie in packages, and by __main__ when it was run.
func isRecord(g pickle.Global) bool {
	if g.Name != "MemoryEntry" {
		return false
	}
	if g.Module == "__main__" || g.Module == "vector_memory" {
		return true
	}
	packages, ok := strings.CutSuffix(g.Module, ".vector_memory")
	return ok && strings.Trim(packages, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.") == "" && !strings.HasPrefix(packages, ".") && !strings.Contains(packages, "..")
}

// storageClasses are the names that a file of the old format holds which is one storage.
var storageClasses = sync.OnceValue(func() pickle.Registry {
	reg := pickle.Registry{{Module: "torch.storage", Name: untypedStorage}: {}}
	for _, info := range dtypes {
		if info.storage != "" {
			reg[pickle.Global{Module: "torch", Name: info.storage}] = pickle.Class{}
			reg[pickle.Global{Module: "torch.cuda", Name: info.storage}] = pickle.Class{}
		}
	}
	return reg
})

// registry lists the names of PyTorch that files may hold.
func (r *rebuilder) registry() pickle.Registry {
	reg := pickle.Standard()
	maps.Copy(reg, storageClasses())
	utils := func(name string, reduce pickle.Maker) {
		reg[pickle.Global{Module: "torch._utils", Name: name}] = pickle.Class{Reduce: reduce}
	}
	utils("_rebuild_tensor", r.tensor)
	utils("_rebuild_tensor_v2", r.tensorV2)
	utils("_rebuild_tensor_v3", r.tensorV3)
	utils("_rebuild_qtensor", r.quantized)
	utils("_rebuild_sparse_tensor", r.sparse)
	utils("_rebuild_parameter", r.parameter)
	utils("_rebuild_parameter_with_state", r.parameterWithState)
	reg[pickle.Global{Module: "torch._tensor", Name: "_rebuild_from_type_v2"}] = pickle.Class{Reduce: r.fromType}
	reg[pickle.Global{Module: "torch.storage", Name: "_load_from_bytes"}] = pickle.Class{Reduce: r.storageFromBytes}
	reg[pickle.Global{Module: "torch", Name: "Size"}] = pickle.Class{Reduce: makeSize}
	reg[pickle.Global{Module: "torch", Name: "device"}] = pickle.Class{Reduce: makeDevice}
	reg[pickle.Global{Module: "torch", Name: "Tensor"}] = pickle.Class{}
	reg[pickle.Global{Module: "torch.nn.parameter", Name: "Parameter"}] = pickle.Class{}
	reg[pickle.Global{Module: "torch.serialization", Name: "_get_layout"}] = pickle.Class{Reduce: makeLayout}
	for _, q := range []QScheme{PerTensorAffine, PerChannelAffine, PerChannelAffineFloatParams} {
		reg[pickle.Global{Module: "torch", Name: string(q)}] = pickle.Class{Value: q}
	}
	for i, info := range dtypes {
		if DType(i) == Invalid {
			continue
		}
		reg[pickle.Global{Module: "torch", Name: info.name}] = pickle.Class{Value: DType(i)}
	}
	return reg
}
