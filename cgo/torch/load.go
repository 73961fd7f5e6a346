package torch

/*
#include "bridge.h"
*/
import "C"

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// ABIVersion is the version of the C ABI that this package was built with.
const ABIVersion = C.FDQC_ABI_VERSION

// LibTorchVersion is the version that the engine works with.
const LibTorchVersion = "2.11.0"

const shimName = "libfdqc.so"

// findShim is the path of the shim: $FDQC_LIB, else beside the executable,
// else in ../lib/fdqc from it. The working directory never decides.
func findShim(named string) (string, error) {
	if named == "" {
		named = os.Getenv("FDQC_LIB")
	}
	if named != "" {
		if !filepath.IsAbs(named) {
			return "", unavailablef("FDQC_LIB is %q, expected an absolute path to %s; run: make build", named, shimName)
		}
		if _, err := os.Stat(named); err != nil {
			return "", unavailablef("there is no shim at %s, which FDQC_LIB names; run: make build", named)
		}
		return named, nil
	}
	executable, err := os.Executable()
	if err == nil {
		executable, err = filepath.EvalSymlinks(executable)
	}
	if err != nil {
		return "", unavailablef("cannot tell where this program is to find %s beside it (%v); set FDQC_LIB to its path", shimName, err)
	}
	folder := filepath.Dir(executable)
	for _, path := range []string{
		filepath.Join(folder, shimName),
		filepath.Join(folder, "..", "lib", "fdqc", shimName),
	} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", unavailablef("the shim %s is neither beside %s nor in ../lib/fdqc from it; run: make build", shimName, executable)
}

// findLibTorch is the lib folder of LibTorch: $LIBTORCH/lib, else the folder
// that the shim was linked to.
func findLibTorch(shim string) (string, error) {
	if root := os.Getenv("LIBTORCH"); root != "" {
		if !filepath.IsAbs(root) {
			return "", unavailablef("LIBTORCH is %q, expected an absolute path to a folder with lib/; run: make build", root)
		}
		return filepath.Join(root, "lib"), nil
	}
	file, err := elf.Open(shim)
	if err != nil {
		return "", unavailablef("%s is no shared library (%v); run: make build", shim, err)
	}
	defer file.Close()
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		paths, err := file.DynString(tag)
		if err != nil {
			continue
		}
		for _, list := range paths {
			for _, path := range strings.Split(list, ":") {
				if filepath.IsAbs(path) {
					return path, nil
				}
			}
		}
	}
	return "", unavailablef("%s does not say where LibTorch is; run: make build, or set LIBTORCH", shim)
}

// load opens LibTorch and the shim and answers the table.
func load(shim string) (table *C.fdqc_table, libtorch string, err error) {
	if libtorch, err = findLibTorch(shim); err != nil {
		return nil, "", err
	}
	// By absolute path and before the shim, so that neither a library path
	// nor a LibTorch of the system can slip in another one.
	var cpu unsafe.Pointer
	for _, name := range []string{"libc10.so", "libtorch_cpu.so"} {
		path := filepath.Join(libtorch, name)
		if _, err := os.Stat(path); err != nil {
			return nil, "", unavailablef("there is no LibTorch in %s (no %s); run: make build", libtorch, name)
		}
		if cpu, err = openLibrary(path); err != nil {
			return nil, "", unavailablef("LibTorch in %s cannot be loaded: %v; run: make build", libtorch, err)
		}
	}
	if v := uint64(C.libtorch_abi_version(cpu)); v>>48 != 2<<8|11 {
		found := "of a version before 2.9"
		if v != 0 {
			found = fmt.Sprintf("%d.%d.%d", v>>56, v>>48&0xff, v>>40&0xff)
		}
		return nil, "", unavailablef("LibTorch in %s is %s and this needs %s; run: make build", libtorch, found, LibTorchVersion)
	}
	library, err := openLibrary(shim)
	if err != nil {
		return nil, "", unavailablef("the shim %s cannot be loaded: %v; run: make build", shim, err)
	}
	var hasSymbol C.int
	table = C.open_table(library, C.uint32_t(ABIVersion), &hasSymbol)
	switch {
	case hasSymbol == 0:
		return nil, "", unavailablef("%s is no shim of fdqc (it has no fdqc_api); run: make build", shim)
	case table == nil || table.abi_version != ABIVersion || uintptr(table.size) != unsafe.Sizeof(*table):
		return nil, "", unavailablef("the shim %s is of another version than this program (ABI %d); run: make build", shim, ABIVersion)
	}
	return table, libtorch, nil
}

func openLibrary(path string) (unsafe.Pointer, error) {
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	var why *C.char
	library := C.open_library(cPath, &why)
	if library == nil {
		return nil, errors.New(C.GoString(why))
	}
	return library, nil
}
