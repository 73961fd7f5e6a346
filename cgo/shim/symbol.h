// Functions of libraries that are opened at run time.
#pragma once

#include <dlfcn.h>

#include <string>

#include "device.h"

namespace fdqc {

// `to` becomes the function of that name; throws DriverError, which names it,
// when the library has none.
template <typename Function>
void find(void* library, const char* name, Function*& to) {
  to = reinterpret_cast<Function*>(dlsym(library, name));
  if (to == nullptr) {
    throw DriverError(-1, std::string("the library has no ") + name);
  }
}

}  // namespace fdqc
