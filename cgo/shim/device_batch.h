// The batch calls where the states lie on another device than the CPU.
#pragma once

#include <cstdint>

#include "fdqc.h"

namespace fdqc {

// As fdqc_table.project and .validate, with arguments that were checked.
void project_on_device(const fdqc_batch& batch, float* out,
                       uint32_t* row_status);
void validate_on_device(const fdqc_batch& batch, fdqc_verdict* out);

}  // namespace fdqc
