// Package convert writes what one file holds as another: between .pt (and .pth), .pkl, .safetensors and .npz, by the
// endings of the names.
//
// Tensors keep every bit, type and shape. Views and expanded tensors are written out, within [Options].Expanded; tensors
// that shared memory do so no more, and all are on the CPU afterwards. In .safetensors and .npz a tensor is named by the
// path that leads to it, with dots: "model.0.weight".
//
// Everything else goes along. A file that is a plain dict of tensors in the target's order needs nothing more, with an entry "__metadata__" of
// texts by name becoming the metadata of a .safetensors. Otherwise the whole object stands as JSON under the
// metadata name "fdqc.tree", each tensor as {"$tensor": its name}, and is made again from it on the way back. JSON
// holds None, bools, numbers, texts, lists and dicts of text keys as they are; what it does not know is an object
// with one name that begins with a dollar sign: $float (nan, inf), $complex, $bytes (base64), $tuple, $set, $frozenset,
// $dict, $ordered_dict (pairs), $size, $dtype, $device. A .npz has no metadata of its own: there it is an array
// "__metadata__" of one text, a JSON object of texts.
//
// What the target cannot hold is a [*HoldError] that names the key: quantized and sparse tensors and tensors with Python
// attributes outside .pt and .pkl, types that the format lacks (bfloat16 and float8 in .npz, complex128 in .safetensors),
// objects of classes. Nothing is dropped unless [Options].DropMetadata asks for it. A damaged source matches
// checkpoints.ErrMalformed. The target appears complete or not at all, also when the source changes meanwhile.
package convert
