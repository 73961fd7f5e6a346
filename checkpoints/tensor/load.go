package tensor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/fdqc-cockpit/fdqc/checkpoints/container"
	"github.com/fdqc-cockpit/fdqc/checkpoints/pickle"
)

// Format is how a file is laid out.
type Format string

// The formats that Load tells apart.
const (
	// Zip is torch.save's archive, the default since PyTorch 1.6.
	Zip Format = "zip"
	// Legacy is torch.save's chain of pickles before PyTorch 1.6.
	Legacy Format = "legacy"
	// Plain is a pickle as pickle.dump writes, whose tensors are files of the old format within.
	Plain Format = "pickle"
)

// Options bound a Load. Zero fields mean the defaults of the packages.
type Options struct {
	Container container.Limits
	// Pickle has one default of its own: what records inflate to counts towards the 48 MiB of memory.
	Pickle pickle.Limits
	// Expanded is how many bytes views may take that are larger than their storage, 64 MiB by default.
	Expanded int64
	// Opaque lets classes through that are not known, as symbolic *pickle.Call. For listings only.
	Opaque bool
}

// File is a loaded file.
type File struct {
	Format Format
	// Root is the object that was saved.
	Root pickle.Value
	// Archive is the container of a Zip file, nil otherwise.
	Archive *container.Archive
	// Unused are the keys of storages that no tensor refers to.
	Unused []string
}

// legacyMagic begins the first pickle of the old format (PyTorch's MAGIC_NUMBER in protocol 2).
var legacyMagic = []byte{0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'}

// Load reads a whole file from memory. Tensors keep using data.
func Load(data []byte, options Options) (*File, error) {
	if options.Expanded <= 0 {
		options.Expanded = 64 << 20
	}
	switch {
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return loadZip(data, options)
	case bytes.HasPrefix(data, legacyMagic[:8]):
		r := options.rebuilder(len(data), minMemory)
		f, err := loadLegacy(data, r.config(options, nil))
		if err != nil {
			return nil, err
		}
		return f, r.finish()
	case isPickle(data):
		r := options.rebuilder(len(data), minMemory)
		v, err := pickle.Decode(data, r.config(options, nil))
		if err != nil {
			return nil, err
		}
		return &File{Format: Plain, Root: v}, r.finish()
	case len(data) == 0:
		return nil, fmt.Errorf("%w: the file is empty", ErrFormat)
	}
	return nil, fmt.Errorf("%w: neither a zip archive nor a pickle (begins with % x)", ErrFormat, data[:min(8, len(data))])
}

// isPickle looks for a protocol, or, as the first two have none, for what their pickles begin and end with.
func isPickle(data []byte) bool {
	if len(data) < 2 {
		return false
	}
	if data[0] == 0x80 {
		return data[1] >= 2 && data[1] <= 5
	}
	return strings.IndexByte("(])}cNILFSVKMJGXTU", data[0]) >= 0 && data[len(data)-1] == '.'
}

// minMemory is what the values of a file may take whatever it holds, in bytes.
const minMemory = 48 << 20

// rebuilder gives the budgets of a file of size bytes; memory is what its values may take by default.
func (o Options) rebuilder(size int, memory int64) *rebuilder {
	if o.Pickle.Memory > 0 {
		memory = o.Pickle.Memory
	}
	return &rebuilder{expanded: o.Expanded, views: o.Expanded + 4*int64(size), nested: int64(size), budget: pickle.NewBudget(memory)}
}

func loadZip(data []byte, options Options) (*File, error) {
	archive, err := container.Parse(data, options.Container)
	if err != nil {
		return nil, err
	}
	inflated := archive.Inflated()
	r := options.rebuilder(len(data)+int(inflated), max(minMemory-inflated, minMemory/6))
	table := &storages{known: make(map[string]*Storage), fields: 5}
	table.find = func(s *Storage) error {
		record, ok := archive.Record(container.StoragePrefix + s.Key)
		if !ok {
			return fmt.Errorf("storage %s has no record %q", s.Key, container.StoragePrefix+s.Key)
		}
		if int64(len(record.Data)) != s.byteLen() {
			return fmt.Errorf("storage %s claims %d × %s, %d bytes; its record has %d", s.Key, s.Numel, s.DType, s.byteLen(), len(record.Data))
		}
		s.data = record.Data
		r.budget.Found(s.byteLen())
		return nil
	}
	main, _ := archive.Record(container.RecordPickle)
	root, err := pickle.Decode(main.Data, r.config(options, table.resolve))
	if err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	f := &File{Format: Zip, Root: root, Archive: archive}
	for _, r := range archive.Records {
		key, isStorage := strings.CutPrefix(r.Name, container.StoragePrefix)
		if isStorage && table.known[key] == nil {
			f.Unused = append(f.Unused, key)
		}
	}
	return f, nil
}

const legacyProtocol = 1001

// loadLegacy reads magic, protocol and system information, then the object, the keys of its storages, and
// the storages, each behind its count of elements. config is that of the object.
func loadLegacy(data []byte, config pickle.Config) (*File, error) {
	at := 0
	next := func(what string, config pickle.Config) (pickle.Value, error) {
		v, n, err := pickle.DecodeNext(data[at:], config)
		if err != nil {
			return nil, fmt.Errorf("%s at byte %d: %w", what, at, err)
		}
		at += n
		return v, nil
	}
	plain := pickle.Config{Limits: config.Limits, Budget: config.Budget}
	if !bytes.HasPrefix(data, legacyMagic) {
		return nil, fmt.Errorf("%w: magic number is cut short", ErrFormat)
	}
	at = len(legacyMagic)
	if bytes.HasPrefix(data[at:], legacyHead) {
		at += len(legacyHead)
	} else if err := legacyHeader(func(what string) (pickle.Value, error) { return next(what, plain) }); err != nil {
		return nil, err
	}
	table := &storages{known: make(map[string]*Storage), fields: 6}
	total := int64(0)
	table.find = func(s *Storage) error {
		// The bytes come behind the object: only their sum can be checked here.
		if total += s.byteLen(); s.byteLen() > int64(len(data)) || total > int64(len(data)) {
			return fmt.Errorf("storage %s claims %d bytes, more than the file holds", s.Key, s.byteLen())
		}
		config.Budget.Found(s.byteLen())
		return nil
	}
	config.Persistent = table.resolve
	root, err := next("object", config)
	if err != nil {
		return nil, err
	}
	keys, err := next("storage keys", plain)
	if err != nil {
		return nil, err
	}
	if err := readLegacyStorages(data, at, keys, table); err != nil {
		return nil, err
	}
	return &File{Format: Legacy, Root: root}, nil
}

// legacyHead is what PyTorch writes behind the magic number on every little-endian machine. Pickles hold a file of the old
// format for each tensor, and most of it is this.
var legacyHead = []byte("\x80\x02M\xe9\x03.\x80\x02}q\x00(X\x10\x00\x00\x00protocol_versionq\x01M\xe9\x03X\r\x00\x00\x00little_endianq\x02\x88" +
	"X\n\x00\x00\x00type_sizesq\x03}q\x04(X\x05\x00\x00\x00shortq\x05K\x02X\x03\x00\x00\x00intq\x06K\x04X\x04\x00\x00\x00longq\x07K\x04uu.")

// legacyHeader reads the protocol and the system information.
func legacyHeader(next func(what string) (pickle.Value, error)) error {
	if v, err := next("protocol"); err != nil {
		return err
	} else if v != pickle.Int(legacyProtocol) {
		return fmt.Errorf("%w: protocol is %s, expected %d", ErrFormat, pickle.Describe(v), legacyProtocol)
	}
	system, err := next("system information")
	if err != nil {
		return err
	}
	if info, ok := system.(*pickle.Dict); !ok {
		return fmt.Errorf("%w: system information is %s, expected a dict", ErrFormat, pickle.Describe(system))
	} else if little, _ := info.Get("little_endian"); little != pickle.Bool(true) {
		return fmt.Errorf("%w: file is not little-endian", ErrFormat)
	}
	return nil
}

func readLegacyStorages(data []byte, at int, keys pickle.Value, table *storages) error {
	list, ok := keys.(*pickle.List)
	if !ok || len(list.Items) != len(table.known) {
		return fmt.Errorf("%w: storage keys are %s, expected a list of %d", ErrFormat, pickle.Describe(keys), len(table.known))
	}
	done := make(map[string]bool, len(list.Items))
	for _, item := range list.Items {
		key, ok := item.(pickle.Str)
		s := table.known[string(key)]
		if !ok || s == nil || done[s.Key] {
			return fmt.Errorf("%w: storage key %s is unknown or comes twice", ErrFormat, pickle.Describe(item))
		}
		done[s.Key] = true
		if len(data)-at < 8 {
			return fmt.Errorf("%w: file ends before storage %s at byte %d", ErrFormat, s.Key, at)
		}
		if n := binary.LittleEndian.Uint64(data[at:]); n != uint64(s.Numel) {
			return fmt.Errorf("%w: storage %s has %d elements, its tensors claim %d", ErrFormat, s.Key, n, s.Numel)
		}
		at += 8
		if int64(len(data)-at) < s.byteLen() {
			return fmt.Errorf("%w: file ends within storage %s, %d of %d bytes left", ErrFormat, s.Key, len(data)-at, s.byteLen())
		}
		end := at + int(s.byteLen())
		s.data, at = data[at:end:end], end
	}
	if at != len(data) {
		return fmt.Errorf("%w: %d bytes follow the last storage", ErrFormat, len(data)-at)
	}
	return nil
}
