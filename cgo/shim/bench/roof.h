// What the FMA units of one core do when nothing else holds them up.
#pragma once

namespace fdqc::bench {

const char* target();  // the instruction set, by name
void multiply_add();
double multiply_add_flops();  // of one call

}  // namespace fdqc::bench
