package checkpoints

import (
	"fmt"
	"io"

	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
	"github.com/fdqc-cockpit/fdqc/checkpoints/tensor"
)

// VectorMemory is a file vector_memory_*.pkl of the Python system: its documents and what it keeps beside them. Values that
// Python gives no type are those of package pickle, with the types that the file has.
type VectorMemory struct {
	// Module is the Python module of the class MemoryEntry, "vector_memory" unless the file says otherwise.
	Module string
	// Entries are in the order of the file; each is filed under its ID.
	Entries []MemoryEntry
	// Rest are the other keys of the file, such as "embeddings" and "metadata_index"; nil without.
	Rest *pickle.Dict
}

// MemoryEntry is a document of a vector memory, vector_memory.MemoryEntry in Python.
type MemoryEntry struct {
	ID, Content string
	// Compressed is what the content was compressed to: a string, bytes or None.
	Compressed pickle.Value
	// Embedding has one dimension; nil: None.
	Embedding *tensor.Tensor
	// Metadata is a dict.
	Metadata *pickle.Dict
	// Timestamp is seconds since 1970, as a pickle.Float or a pickle.Int.
	Timestamp pickle.Value
	// SourceFile is a pickle.Path, a string or None; Stats a dict or None.
	SourceFile, Stats pickle.Value
	// More are fields of other versions of the class; nil without.
	More *pickle.Dict
}

const (
	keyEntries   = "entries"
	entryClass   = "MemoryEntry"
	vectorModule = "vector_memory"
)

// ReadVectorMemory reads a vector memory of the Python system.
func ReadVectorMemory(path string) (*VectorMemory, error) {
	data, err := readAll(path)
	if err != nil {
		return nil, err
	}
	return ParseVectorMemory(path, data)
}

// ParseVectorMemory is ReadVectorMemory for a file that the caller has read. Nothing of the pickle is run: entries are
// records of fields, and tensors are read from the files within. The memory shares data, which must not change as long as
// it is in use.
func ParseVectorMemory(name string, data []byte) (*VectorMemory, error) {
	// An entry is made of some fifty values.
	file, err := load(name, data, []ReadOption{func(o *tensor.Options) { o.Pickle.Values = max(4_000_000, len(data)/16) }})
	if err != nil {
		return nil, err
	}
	f, err := newFields(name, file.Root)
	if err != nil {
		return nil, err
	}
	v, ok := f.dict.Get(keyEntries)
	entries, isDict := v.(*pickle.Dict)
	if !ok || !isDict {
		return nil, f.fail(keyEntries, "is %s, expected a dict of entries", describe(v))
	}
	m := &VectorMemory{Module: vectorModule, Rest: &pickle.Dict{}}
	for i, e := range entries.Entries() {
		key, ok := e.Key.(pickle.Str)
		record, also := e.Value.(*pickle.Record)
		if !ok || !also || record.Fields == nil || record.Class.Name != entryClass {
			return nil, f.fail(keyEntries, "entry %s is %s, expected a %s under its id", describe(e.Key), describe(e.Value), entryClass)
		}
		if i > 0 && record.Class.Module != m.Module {
			return nil, f.fail(keyEntries, "entry %s is a %s, those before it are of module %s", describe(e.Key), record.Class, m.Module)
		}
		m.Module = record.Class.Module
		one, err := fields{file: name, prefix: keyEntries + "." + string(key) + ".", dict: record.Fields}.entry(string(key))
		if err != nil {
			return nil, err
		}
		m.Entries = append(m.Entries, one)
	}
	for _, e := range f.dict.Entries() {
		if e.Key == (pickle.Value(pickle.Str(keyEntries))) {
			continue
		}
		if err := m.Rest.Add(e.Key, e.Value); err != nil {
			return nil, f.fail(keyEntries, "%w", err)
		}
	}
	return m, nil
}

// entry reads the fields of one document.
func (f fields) entry(id string) (MemoryEntry, error) {
	e := MemoryEntry{Compressed: pickle.None{}, SourceFile: pickle.None{}, Stats: pickle.None{}}
	for _, field := range f.dict.Entries() {
		name, _ := field.Key.(pickle.Str)
		ok, want := true, ""
		switch name {
		case "id":
			e.ID, ok, want = textOf(field.Value)
			if ok && e.ID != id {
				return e, f.fail("id", "is %q, the entry is filed under %q", e.ID, id)
			}
		case "content":
			e.Content, ok, want = textOf(field.Value)
		case "compressed_content":
			e.Compressed = field.Value
		case "embedding":
			if _, none := field.Value.(pickle.None); none {
				break
			}
			e.Embedding, ok = field.Value.(*tensor.Tensor)
			ok, want = ok && len(e.Embedding.Shape) == 1, "a tensor of one dimension"
		case "metadata":
			e.Metadata, ok = field.Value.(*pickle.Dict)
			want = "a dict"
		case "timestamp":
			e.Timestamp, want = field.Value, "seconds"
			switch field.Value.(type) {
			case pickle.Int, pickle.Float:
			default:
				ok = false
			}
		case "source_file":
			e.SourceFile = field.Value
		case "compression_stats":
			e.Stats = field.Value
		default:
			if e.More == nil {
				e.More = &pickle.Dict{}
			}
			if err := e.More.Add(field.Key, field.Value); err != nil {
				return e, f.fail(string(name), "%w", err)
			}
		}
		if !ok {
			return e, f.fail(string(name), "is %s, expected %s", describe(field.Value), want)
		}
	}
	for _, name := range []string{"id", "content", "embedding", "metadata", "timestamp"} {
		if !f.has(name) {
			return e, f.fail(name, "missing in a %s", entryClass)
		}
	}
	return e, nil
}

func textOf(v pickle.Value) (text string, ok bool, want string) {
	s, ok := v.(pickle.Str)
	return string(s), ok, "a string"
}

// WriteVectorMemory writes what ReadVectorMemory reads: a pickle of protocol 3, which every Python 3 loads where the module
// of the class can be imported. The file is put together in memory before it is written.
func WriteVectorMemory(w io.Writer, m *VectorMemory) error {
	module := m.Module
	if module == "" {
		module = vectorModule
	}
	entries := &pickle.Dict{}
	for i := range m.Entries {
		e := &m.Entries[i]
		values, err := e.fields()
		if err != nil {
			return fmt.Errorf("write vector memory: entry %d: %w", i, err)
		}
		record := &pickle.Record{Class: pickle.Global{Module: module, Name: entryClass}, Fields: values}
		if err := entries.Add(pickle.Str(e.ID), record); err != nil {
			return fmt.Errorf("write vector memory: entry %d: %w", i, err)
		}
	}
	root := pickle.NewDict(keyEntries, entries)
	if m.Rest != nil {
		for _, e := range m.Rest.Entries() {
			if err := root.Add(e.Key, e.Value); err != nil {
				return fmt.Errorf("write vector memory: %w", err)
			}
		}
	}
	if err := tensor.Dump(w, root); err != nil {
		return fmt.Errorf("write vector memory: %w", err)
	}
	return nil
}

// fields are the attributes of an entry in the order of its class.
func (e *MemoryEntry) fields() (*pickle.Dict, error) {
	if e.Timestamp == nil || e.Embedding != nil && len(e.Embedding.Shape) != 1 {
		return nil, fmt.Errorf("%q has no timestamp, or an embedding of other than one dimension", e.ID)
	}
	orNone := func(v pickle.Value) pickle.Value {
		if v == nil {
			return pickle.None{}
		}
		return v
	}
	embedding := pickle.Value(pickle.None{})
	if e.Embedding != nil {
		embedding = e.Embedding
	}
	metadata := e.Metadata
	if metadata == nil {
		metadata = &pickle.Dict{}
	}
	d := pickle.NewDict(
		"id", pickle.Str(e.ID),
		"content", pickle.Str(e.Content),
		"compressed_content", orNone(e.Compressed),
		"embedding", embedding,
		"metadata", metadata,
		"timestamp", e.Timestamp,
		"source_file", orNone(e.SourceFile),
		"compression_stats", orNone(e.Stats),
	)
	if e.More != nil {
		for _, more := range e.More.Entries() {
			if err := d.Add(more.Key, more.Value); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}
