#include "tensors.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

namespace {

// Runs a body that answers what is wrong, "" for nothing.
template <typename F>
int guard(char* problem, F&& body) noexcept {
  try {
    const std::string wrong = body();
    if (wrong.empty()) return 0;
    std::snprintf(problem, FDQC_GOTORCH_PROBLEM, "%s", wrong.c_str());
  } catch (const c10::Error& e) {
    std::snprintf(problem, FDQC_GOTORCH_PROBLEM, "%s",
                  e.what_without_backtrace());
  } catch (const std::exception& e) {
    std::snprintf(problem, FDQC_GOTORCH_PROBLEM, "%s", e.what());
  } catch (...) {
    std::snprintf(problem, FDQC_GOTORCH_PROBLEM, "an unknown exception");
  }
  return 1;
}

std::string text(at::IntArrayRef sizes) {
  std::string all = "[";
  for (size_t i = 0; i < sizes.size(); ++i) {
    all += (i > 0 ? ", " : "") + std::to_string(sizes[i]);
  }
  return all + "]";
}

}  // namespace

extern "C" {

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int fdqc_gotorch_rows(const void* tensor, const float** data,
                               int64_t* count, int64_t* width, char* problem) {
  return guard(problem, [&]() -> std::string {
    const auto& t = *static_cast<const at::Tensor*>(tensor);
    if (!t.defined()) return "the tensor is undefined";
    if (!t.device().is_cpu()) {
      return "the tensor is on " + t.device().str() +
             ", expected the CPU; copy it there";
    }
    if (t.scalar_type() != at::kFloat) {
      return std::string("the tensor is ") + c10::toString(t.scalar_type()) +
             ", expected Float; cast it";
    }
    if (t.layout() != at::kStrided || t.dim() != 2) {
      return "the tensor has the shape " +
             (t.layout() == at::kStrided ? text(t.sizes()) : "of a sparse one") +
             ", expected [rows, width]";
    }
    if (t.numel() == 0) {
      return "the tensor has the shape " + text(t.sizes()) +
             ", expected at least one row of one number";
    }
    if (!t.is_contiguous()) {
      return "the tensor " + text(t.sizes()) + " is not contiguous, its strides are " +
             text(t.strides()) + "; copy it";
    }
    *data = t.const_data_ptr<float>();
    *count = t.size(0);
    *width = t.size(1);
    return "";
  });
}

EXPORTED int fdqc_gotorch_memory(int64_t size, void** tensor, void** data,
                                 char* problem) {
  return guard(problem, [&]() -> std::string {
    at::Tensor memory =
        at::zeros({size}, at::TensorOptions().dtype(at::kByte));
    *data = memory.mutable_data_ptr();
    *tensor = new at::Tensor(std::move(memory));
    return "";
  });
}

EXPORTED int fdqc_gotorch_view(const void* memory, int8_t dtype, int64_t count,
                               int64_t columns, int64_t offset, int64_t stride,
                               void** tensor, char* problem) {
  return guard(problem, [&]() -> std::string {
    // The deleter's copy keeps the memory.
    const at::Tensor keep = *static_cast<const at::Tensor*>(memory);
    const auto type = static_cast<at::ScalarType>(dtype);
    std::vector<int64_t> sizes = {count};
    std::vector<int64_t> strides = {
        stride / static_cast<int64_t>(c10::elementSize(type))};
    if (columns > 0) {
      sizes.push_back(columns);
      strides.push_back(1);
    }
    char* const at = static_cast<char*>(keep.mutable_data_ptr()) + offset;
    *tensor = new at::Tensor(at::from_blob(at, sizes, strides,
                                           [keep](void*) {},
                                           at::TensorOptions().dtype(type)));
    return "";
  });
}

}  // extern "C"
