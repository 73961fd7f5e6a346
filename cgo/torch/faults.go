package torch

// #include <stddef.h>
// #include "bridge.h"
// enum { bridge_entries = (sizeof(fdqc_table) - offsetof(fdqc_table, status_free)) / sizeof(void (*)(void)) };
import "C"

// tableEntries counts the functions of the table; tests compare it with the
// functions that they let fail.
const tableEntries = C.bridge_entries

// canFail says whether the shim is a test build.
func (l *Library) canFail() bool { return C.has_fault_arm(l.table) != 0 }

// armFault lets the next native call throw inside its body: kind 1 a
// std::runtime_error, 2 std::bad_alloc, 3 an int, 4 a c10::Error. The caller
// makes no other call in between, and asks canFail first.
func (l *Library) armFault(kind int) error {
	return l.takeError("fault_arm", C.fault_arm(l.table, C.int32_t(kind)))
}
