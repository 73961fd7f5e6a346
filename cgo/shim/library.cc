// fdqc::validate for the dispatcher; operator.h has its schema.
#include <torch/library.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include <tuple>

#include "operator.h"
#include "status.h"
#include "tiles.h"

namespace fdqc {
namespace {

constexpr const char* kSchema =
    "validate(Tensor[] embeddings, Tensor[] weights, Tensor[] biases, "
    "Tensor state_real, Tensor loaded_real, Tensor state_imag, "
    "Tensor? slots, Tensor? row_flags, Tensor[] risk_detector, "
    "Tensor safe_patterns, Tensor unsafe_patterns, float entropy_threshold, "
    "float collapse_threshold, float block_threshold, int tier, "
    "bool safe_mode, bool require_human_approval, bool first_element) -> "
    "(Tensor scores, Tensor nearest, Tensor flags, Tensor row_status, "
    "Tensor state_real)";

PreparedSide side_of(const at::Tensor& rows, const at::Tensor& state,
                     const char* name) {
  require(state.dim() == 2, "validate: state_real is not [slots, n]");
  require(rows.dim() == 2 && rows.scalar_type() == at::kFloat &&
              rows.size(1) == 2 * state.size(1),
          "validate: ", name, " is not float32 [count, ", 2 * state.size(1),
          "]");
  return prepare(rows.contiguous(), state.size(1));
}

// A host copy of a row argument, checked.
at::Tensor host_of(const std::optional<at::Tensor>& from, at::ScalarType type,
                   int64_t count, const char* name) {
  if (!from.has_value() || !from->defined()) return {};
  require(from->dim() == 1 && from->size(0) == count &&
              from->scalar_type() == type,
          "validate: ", name, " is not [", count, "] ", c10::toString(type));
  return from->to(at::kCPU).contiguous();
}

using Answer =
    std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

Answer validate_tensors(
    at::TensorList embeddings, at::TensorList weights, at::TensorList biases,
    const at::Tensor& state_real, const at::Tensor& loaded_real,
    const at::Tensor& state_imag, const std::optional<at::Tensor>& slots,
    const std::optional<at::Tensor>& row_flags, at::TensorList risk_detector,
    const at::Tensor& safe_patterns, const at::Tensor& unsafe_patterns,
    double entropy_threshold, double collapse_threshold,
    double block_threshold, int64_t tier, bool safe_mode,
    bool require_human_approval, bool first_element) {
  const NoAutograd guard;
  require(weights.size() == embeddings.size() &&
              biases.size() == embeddings.size(),
          "validate: ", embeddings.size(), " embeddings, ", weights.size(),
          " weights and ", biases.size(), " biases");
  Inputs in;
  for (size_t i = 0; i < embeddings.size(); ++i) {
    Rows rows{embeddings[i], {}, {}};
    require(rows.embeddings.dim() == 2, "validate: embeddings ", i,
            " are not [count, width]");
    if (weights[i].numel() > 0) {
      rows.weight = weights[i];
      rows.bias = biases[i];
    }
    in.count += rows.embeddings.size(0);
    in.segments.push_back(rows);
  }
  in.state_real = state_real;
  in.loaded_real = loaded_real;
  in.state_imag = state_imag;
  const at::Tensor slots64 = host_of(slots, at::kLong, in.count, "slots");
  std::vector<int32_t> slots32;
  if (slots64.defined()) {
    slots32.resize(in.count);
    for (int64_t i = 0; i < in.count; ++i) {
      const int64_t slot = slots64.const_data_ptr<int64_t>()[i];
      require(slot >= 0 && slot < kMaxSlots, "validate: slot ", slot,
              " of row ", i, " is not 0 to ", kMaxSlots - 1);
      slots32[i] = static_cast<int32_t>(slot);
    }
    in.slots = slots32.data();
  }
  const at::Tensor flags =
      host_of(row_flags, at::kByte, in.count, "row_flags");
  if (flags.defined()) in.row_flags = flags.const_data_ptr<uint8_t>();
  in.detector = risk_detector.vec();
  const PreparedSide safe = side_of(safe_patterns, state_real, "safe_patterns");
  const PreparedSide unsafe =
      side_of(unsafe_patterns, state_real, "unsafe_patterns");
  in.sides[FDQC_SAFE] = &safe;
  in.sides[FDQC_UNSAFE] = &unsafe;
  in.policy.entropy_threshold = static_cast<float>(entropy_threshold);
  in.policy.collapse_threshold = static_cast<float>(collapse_threshold);
  in.policy.block_threshold = static_cast<float>(block_threshold);
  require(tier >= FDQC_TIER_ALPHA && tier <= FDQC_TIER_OMEGA,
          "validate: tier ", tier, " is not 0 to 5");
  in.policy.tier = static_cast<int32_t>(tier);
  in.policy.state_update =
      first_element ? FDQC_STATE_FIRST_ELEMENT : FDQC_STATE_ROW;
  in.policy.safe_mode = safe_mode;
  in.policy.require_human_approval = require_human_approval;

  const Outputs out = validate(in);
  const c10::Device device = state_real.device();
  const at::Tensor moved = at::tensor(
      out.slots, at::TensorOptions().dtype(at::kLong).device(device));
  return {out.scores.to(device), out.nearest.to(device), out.flags.to(device),
          at::tensor(out.row_status,
                     at::TensorOptions().dtype(at::kInt).device(device)),
          state_real.index_copy(0, moved, out.states)};
}

TORCH_LIBRARY(fdqc, m) { m.def(kSchema); }

TORCH_LIBRARY_IMPL(fdqc, CompositeExplicitAutograd, m) {
  m.impl("validate", &validate_tensors);
}

}  // namespace
}  // namespace fdqc
