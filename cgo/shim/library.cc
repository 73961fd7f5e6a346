// fdqc::validate for the dispatcher; operator.h has its schema. Tensors on the
// CPU go to the kernel of cpu_validate.h, over their memory; all others to the
// composite implementation. Python loads this library for it:
// models/pytorch/validate.py.
#include <torch/library.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/tensor.h>

#include <cstddef>
#include <cstring>
#include <memory>
#include <shared_mutex>
#include <string>
#include <tuple>

#include "cpu_validate.h"
#include "finite.h"
#include "operator.h"
#include "recent.h"
#include "runtime.h"
#include "score.h"
#include "status.h"
#include "tiles.h"

namespace fdqc {
namespace {

// After the name.
constexpr const char* kSchema =
    "(Tensor[] embeddings, Tensor[] weights, Tensor[] biases, "
    "Tensor state_real, Tensor loaded_real, Tensor state_imag, "
    "Tensor? slots, Tensor? row_flags, Tensor[] risk_detector, "
    "Tensor safe_patterns, Tensor unsafe_patterns, float entropy_threshold, "
    "float collapse_threshold, float block_threshold, int tier, "
    "bool safe_mode, bool require_human_approval, bool first_element) -> "
    "(Tensor scores, Tensor nearest, Tensor flags, Tensor row_status, "
    "Tensor state_real)";

at::Tensor side_of(const at::Tensor& rows, const at::Tensor& state,
                   const char* name) {
  require(state.dim() == 2, "validate: state_real is not [slots, n]");
  require(rows.dim() == 2 && rows.scalar_type() == at::kFloat &&
              rows.size(1) == 2 * state.size(1),
          "validate: ", name, " is not float32 [count, ", 2 * state.size(1),
          "]");
  return rows.contiguous();
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

// The arguments, and what they are kept in.
struct Call {
  Inputs in;
  std::vector<int32_t> slots;
  at::Tensor row_flags;
  at::Tensor sides[2];
};

// LibTorch's threads as the caller has them: what computes in the pool's
// threads sets the number of the process.
class KeepTorchThreads {
 public:
  KeepTorchThreads() : threads_(at::get_num_threads()) {}
  ~KeepTorchThreads() { at::set_num_threads(threads_); }
  KeepTorchThreads(const KeepTorchThreads&) = delete;
  KeepTorchThreads& operator=(const KeepTorchThreads&) = delete;

 private:
  int threads_;
};

Answer composite(Call& call) {
  const KeepTorchThreads keep;
  PreparedSide sides[2];
  const int64_t n = call.in.state_real.size(1);
  for (const int side : {FDQC_SAFE, FDQC_UNSAFE}) {
    require(at::isfinite(call.sides[side]).all().item<bool>(),
            "validate: a pattern is not finite");
    sides[side] = prepare(call.sides[side], n);
    call.in.sides[side] = &sides[side];
  }
  const Outputs out = validate(call.in);
  const at::Tensor& state = call.in.state_real;
  const c10::Device device = state.device();
  const at::Tensor moved = at::tensor(
      out.slots, at::TensorOptions().dtype(at::kLong).device(device));
  return {out.scores.to(device), out.nearest.to(device), out.flags.to(device),
          at::tensor(out.row_status,
                     at::TensorOptions().dtype(at::kInt).device(device)),
          state.index_copy(0, moved, out.states)};
}

Parts copies(const Parts& parts) {
  Parts all;
  for (const at::Tensor& part : parts) all.push_back(part.clone());
  return all;
}

// One side: [count, 2n].
struct PackedSide {
  explicit PackedSide(const Parts& parts) : index(parts[0].size(1) / 2) {
    const at::Tensor& rows = parts[0];
    require(finite(rows.const_data_ptr<float>(), rows.numel()),
            "validate: a pattern is not finite");
    index.assign(rows.const_data_ptr<float>(), rows.size(0));
    from = {at::from_blob(const_cast<float*>(index.row(0)), rows.sizes(),
                          rows.options())};
  }

  // Takes a tree into use unless a batch is matched right now.
  void refresh() {
    const std::unique_lock<std::shared_mutex> alone(matching,
                                                    std::try_to_lock);
    if (alone.owns_lock()) index.refresh();
  }

  SideIndex index;
  Parts from;
  std::shared_mutex matching;
};

// A projection: weight [n, d], bias [n].
struct PackedLinear {
  explicit PackedLinear(const Parts& parts)
      : linear(parts[0].size(0), parts[0].size(1),
               parts[0].const_data_ptr<float>(),
               parts[1].const_data_ptr<float>()),
        from(copies(parts)) {}

  cpu::Linear linear;
  Parts from;
};

// The six tensors of the risk detector.
struct PackedDetector {
  explicit PackedDetector(const Parts& parts)
      : detector(parts[0].size(1) / 2, pointers(parts).data()),
        from(copies(parts)) {}

  static std::vector<const float*> pointers(const Parts& parts) {
    std::vector<const float*> all;
    for (const at::Tensor& part : parts) {
      all.push_back(part.const_data_ptr<float>());
    }
    return all;
  }

  cpu::Detector detector;
  Parts from;
};

template <typename T>
std::shared_ptr<T> packed(Parts parts) {
  // Never destroyed: threads may still be in the operator when a process ends.
  static auto& recent = *new Recent<T>();
  for (at::Tensor& part : parts) part = part.contiguous();
  return recent.of(parts);
}

Answer kernel(Call& call) {
  Inputs& in = call.in;
  check(in, call.sides);
  follow_torch_threads();
  const int64_t n = in.state_real.size(1), slots = in.state_real.size(0);
  const auto memory = [](at::Tensor& tensor) {
    tensor = tensor.contiguous();
    return tensor.const_data_ptr<float>();
  };
  std::vector<std::shared_ptr<PackedLinear>> projections;
  std::vector<cpu::Segment> segments;
  for (Rows& rows : in.segments) {
    const cpu::Linear* projection = nullptr;
    if (rows.weight.defined()) {
      projections.push_back(packed<PackedLinear>({rows.weight, rows.bias}));
      projection = &projections.back()->linear;
    }
    segments.push_back({memory(rows.embeddings), projection,
                        rows.embeddings.size(0), rows.embeddings.size(1)});
  }
  const auto detector = packed<PackedDetector>(in.detector);
  const std::shared_ptr<PackedSide> sides[2] = {
      packed<PackedSide>({call.sides[0]}), packed<PackedSide>({call.sides[1]})};
  for (const auto& side : sides) side->refresh();
  const std::shared_lock<std::shared_mutex> safe(sides[0]->matching);
  // The same numbers on both sides are one packed side.
  std::shared_lock<std::shared_mutex> unsafe(sides[1]->matching,
                                             std::defer_lock);
  if (sides[0] != sides[1]) unsafe.lock();
  at::Tensor real = in.state_real.clone(at::MemoryFormat::Contiguous);
  cpu::States states(n, memory(in.loaded_real), memory(in.state_imag),
                     slots, real.const_data_ptr<float>());
  std::vector<fdqc_verdict> verdicts(in.count);
  cpu::validate({{segments.data(), static_cast<int64_t>(segments.size()),
                  in.count, n},
                 in.slots,
                 in.row_flags,
                 &detector->detector,
                 {&sides[FDQC_SAFE]->index, &sides[FDQC_UNSAFE]->index},
                 {nullptr, nullptr},
                 in.policy},
                states, verdicts.data());
  for (int64_t i = 0; i < slots; ++i) {
    std::copy_n(states.real(i), n, real.mutable_data_ptr<float>() + i * n);
  }
  const auto ints = at::TensorOptions().dtype(at::kInt);
  const at::Tensor scores = at::empty(
      {in.count, kScoreColumns}, at::TensorOptions().dtype(at::kFloat));
  const at::Tensor nearest =
      at::empty({in.count, 2}, at::TensorOptions().dtype(at::kLong));
  const at::Tensor flags = at::empty({in.count}, ints);
  const at::Tensor row_status = at::empty({in.count}, ints);
  for (int64_t i = 0; i < in.count; ++i) {
    const fdqc_verdict& v = verdicts[i];
    // The ten numbers lie in a verdict as the columns do.
    std::memcpy(scores.mutable_data_ptr<float>() + i * kScoreColumns, &v,
                kScoreColumns * sizeof(float));
    nearest.mutable_data_ptr<int64_t>()[2 * i] = v.nearest_safe;
    nearest.mutable_data_ptr<int64_t>()[2 * i + 1] = v.nearest_unsafe;
    flags.mutable_data_ptr<int32_t>()[i] = static_cast<int32_t>(v.flags);
    // The operator tells workspace rows apart, not where they come from.
    row_status.mutable_data_ptr<int32_t>()[i] =
        v.row_status == FDQC_ROW_NOT_FINITE
            ? FDQC_ROW_OVERFLOW
            : static_cast<int32_t>(v.row_status);
  }
  return {scores, nearest, flags, row_status, real};
}

static_assert(offsetof(fdqc_verdict, unsafe_distance) ==
                  kUnsafeDistance * sizeof(float),
              "the scores lie as the columns do");

template <Answer (*compute)(Call&)>
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
  Call call;
  Inputs& in = call.in;
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
  if (slots64.defined()) {
    call.slots.resize(in.count);
    for (int64_t i = 0; i < in.count; ++i) {
      const int64_t slot = slots64.const_data_ptr<int64_t>()[i];
      require(slot >= 0 && slot < kMaxSlots, "validate: slot ", slot,
              " of row ", i, " is not 0 to ", kMaxSlots - 1);
      call.slots[i] = static_cast<int32_t>(slot);
    }
    in.slots = call.slots.data();
  }
  call.row_flags = host_of(row_flags, at::kByte, in.count, "row_flags");
  if (call.row_flags.defined()) {
    in.row_flags = call.row_flags.const_data_ptr<uint8_t>();
    for (int64_t i = 0; i < in.count; ++i) {
      require((in.row_flags[i] & ~kKnownRowFlags) == 0, "validate: flags ",
              int32_t{in.row_flags[i]}, " of row ", i, " are unknown");
    }
  }
  in.detector = risk_detector.vec();
  call.sides[FDQC_SAFE] = side_of(safe_patterns, state_real, "safe_patterns");
  call.sides[FDQC_UNSAFE] =
      side_of(unsafe_patterns, state_real, "unsafe_patterns");
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
  return compute(call);
}

// The answer for tensors without numbers, which compilers trace with.
Answer shapes(at::TensorList embeddings, at::TensorList, at::TensorList,
              const at::Tensor& state_real, const at::Tensor&,
              const at::Tensor&, const std::optional<at::Tensor>&,
              const std::optional<at::Tensor>&, at::TensorList,
              const at::Tensor&, const at::Tensor&, double, double, double,
              int64_t, bool, bool, bool) {
  c10::SymInt count = 0;
  for (const at::Tensor& rows : embeddings) count += rows.sym_size(0);
  const auto of = [&](c10::SymIntArrayRef sizes, at::ScalarType type) {
    return at::empty_symint(sizes, state_real.options().dtype(type));
  };
  return {of({count, kScoreColumns}, at::kFloat), of({count, 2}, at::kLong),
          of({count}, at::kInt), of({count}, at::kInt),
          of(state_real.sym_sizes(), at::kFloat)};
}

TORCH_LIBRARY(fdqc, m) {
  for (const std::string name : {"validate", "validate_composite"}) {
    m.def((name + kSchema).c_str(), {at::Tag::pt2_compliant_tag});
  }
}

TORCH_LIBRARY_IMPL(fdqc, CompositeExplicitAutograd, m) {
  m.impl("validate", &validate_tensors<composite>);
  m.impl("validate_composite", &validate_tensors<composite>);
}

TORCH_LIBRARY_IMPL(fdqc, CPU, m) {
  m.impl("validate", &validate_tensors<kernel>);
}

TORCH_LIBRARY_IMPL(fdqc, Meta, m) {
  m.impl("validate", &shapes);
  m.impl("validate_composite", &shapes);
}

// Verdicts are decisions: there is no gradient, and asking for one is not a
// mistake worth a warning.
TORCH_LIBRARY_IMPL(fdqc, Autograd, m) {
  m.impl("validate", torch::CppFunction::makeFallthrough());
  m.impl("validate_composite", torch::CppFunction::makeFallthrough());
}

}  // namespace
}  // namespace fdqc
