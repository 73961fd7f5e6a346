// Errors of the C ABI: status objects, the exceptions that become them, and
// the guard that every exported function runs in. Free of LibTorch, so that
// what needs none can include it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

#include "fdqc.h"

namespace fdqc {

// The caller's fault: a shape, a pointer or a number.
class InvalidArgument : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// CUDA was asked for and is not there.
class DeviceUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Throws InvalidArgument with the parts put together unless `holds`.
template <typename... Parts>
void require(bool holds, const Parts&... parts);

// A status of its own memory, or the preallocated out-of-memory status when
// there is none left. message may be any bytes up to the first NUL.
fdqc_status* make_status(int32_t code, const char* message) noexcept;

// Whether a message of LibTorch is that of its host allocator.
bool is_host_allocation_failure(const char* message) noexcept;

// Frees what make_status gave; NULL and the preallocated status are left.
void free_status(fdqc_status* status) noexcept;

// The status of the exception that is being handled. To be called in a
// catch clause only.
fdqc_status* status_of_current_exception() noexcept;

// What a thread needs before LibTorch computes in it: OpenMP's and BLAS's
// thread counts are per thread, and an OS thread that enters for the first
// time would otherwise bring a team of its own. Cheap after the first call.
void enter_thread();

// Ambient state of the thread while a body runs: gradients are off, and the
// mode that the thread came with is put back.
class Scope {
 public:
  Scope();
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  bool grad_was_enabled_;
};

#ifdef FDQC_FAULTS
// Lets the next guarded body throw: the kinds of fdqc_table.fault_arm.
void arm_fault(int32_t kind);
void throw_armed_fault();
#else
inline void throw_armed_fault() {}
#endif

// Runs a body so that no exception leaves it.
template <typename F>
fdqc_status* guard(F&& body) noexcept {
  try {
    Scope scope;
    throw_armed_fault();
    std::forward<F>(body)();
    return nullptr;
  } catch (...) {
    return status_of_current_exception();
  }
}

namespace detail {

inline void append(std::string& to, const char* part) { to += part; }
inline void append(std::string& to, const std::string& part) { to += part; }
template <typename Number>
void append(std::string& to, Number part) {
  to += std::to_string(part);
}

}  // namespace detail

template <typename... Parts>
void require(bool holds, const Parts&... parts) {
  if (holds) return;
  std::string message;
  (detail::append(message, parts), ...);
  throw InvalidArgument(message);
}

}  // namespace fdqc
