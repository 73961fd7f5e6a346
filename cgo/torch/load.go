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
	"regexp"
	"slices"
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
	source := "the library of the options"
	if named == "" {
		named, source = os.Getenv("FDQC_LIB"), "FDQC_LIB"
	}
	if named != "" {
		if !filepath.IsAbs(named) {
			return "", unavailablef("%s is %q, expected an absolute path to %s; run: make build", source, named, shimName)
		}
		if _, err := os.Stat(named); err != nil {
			return "", unavailablef("there is no shim at %s, which %s names; run: make build", named, source)
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

// missingLibrary matches the loader's words for a library that another one
// needs.
var missingLibrary = regexp.MustCompile(`^([^:/]+): cannot open shared object file`)

// runPaths reads from the shim's file where it looks for LibTorch. Nothing of
// the file runs: what is no shim is told here.
func runPaths(shim string) ([]string, error) {
	file, err := elf.Open(shim)
	if err != nil {
		return nil, unavailablef("%s is no shared library (%v); run: make build", shim, err)
	}
	defer file.Close()
	symbols, err := file.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, unavailablef("the symbols of %s cannot be read (%v); run: make build", shim, err)
	}
	if !slices.ContainsFunc(symbols, func(s elf.Symbol) bool { return s.Name == "fdqc_api" && s.Section != elf.SHN_UNDEF }) {
		return nil, unavailablef("%s is no shim of fdqc (it has no fdqc_api); run: make build", shim)
	}
	origin := strings.NewReplacer("$ORIGIN", filepath.Dir(shim), "${ORIGIN}", filepath.Dir(shim))
	var folders []string
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		lists, err := file.DynString(tag)
		if err != nil {
			return nil, unavailablef("the run path of %s cannot be read (%v); run: make build", shim, err)
		}
		for _, list := range lists {
			for folder := range strings.SplitSeq(list, ":") {
				if folder = origin.Replace(folder); filepath.IsAbs(folder) {
					folders = append(folders, filepath.Clean(folder))
				}
			}
		}
	}
	return folders, nil
}

// findLibTorch is the lib folder of LibTorch: $LIBTORCH/lib, else the first
// folder with LibTorch that the shim was linked to.
func findLibTorch(shim string) (string, error) {
	folders, err := runPaths(shim)
	if err != nil {
		return "", err
	}
	if root := os.Getenv("LIBTORCH"); root != "" {
		if !filepath.IsAbs(root) {
			return "", unavailablef("LIBTORCH is %q, expected an absolute path to a folder with lib/; run: make build", root)
		}
		folders = []string{filepath.Join(root, "lib")}
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "libtorch_cpu.so")); err == nil {
			return folder, nil
		}
	}
	if len(folders) == 0 {
		return "", unavailablef("%s does not say where LibTorch is; run: make build, or set LIBTORCH", shim)
	}
	return "", unavailablef("there is no LibTorch in %s (no libtorch_cpu.so); run: make build", strings.Join(folders, " or "))
}

// load opens LibTorch and the shim and answers the table. What it opened is
// closed again when it fails.
func load(shim string) (table *C.fdqc_table, libtorch string, err error) {
	if libtorch, err = findLibTorch(shim); err != nil {
		return nil, "", err
	}
	var opened []unsafe.Pointer
	defer func() {
		if err != nil {
			for _, library := range slices.Backward(opened) {
				C.dlclose(library)
			}
		}
	}()
	// By absolute path and before the shim, so that neither a library path
	// nor a LibTorch of the system can slip in another one.
	for _, name := range []string{"libc10.so", "libtorch_cpu.so"} {
		library, err := openLibrary(filepath.Join(libtorch, name))
		if err != nil {
			if m := missingLibrary.FindStringSubmatch(err.Error()); m != nil {
				return nil, "", unavailablef("LibTorch in %s needs %s, which is missing (%v); run: make build", libtorch, m[1], err)
			}
			return nil, "", unavailablef("LibTorch in %s cannot be loaded: %v; run: make build", libtorch, err)
		}
		opened = append(opened, library)
	}
	if v := uint64(C.libtorch_abi_version(opened[1])); v>>48 != 2<<8|11 {
		found := "of a version before 2.9"
		if v != 0 {
			found = fmt.Sprintf("%d.%d.%d", v>>56, v>>48&0xff, v>>40&0xff)
		}
		return nil, "", unavailablef("LibTorch in %s is %s and this needs %s; run: make build", libtorch, found, LibTorchVersion)
	}
	library, err := openLibrary(shim)
	if err != nil {
		if m := missingLibrary.FindStringSubmatch(err.Error()); m != nil {
			return nil, "", unavailablef("the shim %s needs %s, which is missing (%v); run: make build", shim, m[1], err)
		}
		return nil, "", unavailablef("the shim %s cannot be loaded: %v; run: make build", shim, err)
	}
	opened = append(opened, library)
	table = C.open_table(library, C.uint32_t(ABIVersion))
	if table == nil || table.abi_version != ABIVersion || uintptr(table.size) != unsafe.Sizeof(*table) {
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
		defer C.free(unsafe.Pointer(why))
		return nil, errors.New(C.GoString(why))
	}
	return library, nil
}
