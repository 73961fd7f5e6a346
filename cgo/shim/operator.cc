#include "operator.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>

#include <cmath>
#include <limits>

#include "scan.h"
#include "score.h"
#include "status.h"
#include "tiles.h"

namespace fdqc {
namespace {

void check_tensor(const at::Tensor& tensor, const char* name,
                  at::IntArrayRef shape, c10::Device device) {
  require(tensor.defined(), "validate: ", name, " is missing");
  require(tensor.scalar_type() == at::kFloat, "validate: ", name,
          " is not float32");
  require(tensor.device() == device, "validate: ", name, " is on ",
          tensor.device().str(), ", state_real on ", device.str());
  if (tensor.sizes() == shape) return;
  std::string want, have;
  for (const int64_t size : shape) want += " " + std::to_string(size);
  for (const int64_t size : tensor.sizes()) have += " " + std::to_string(size);
  require(false, "validate: ", name, " has the shape [", have,
          " ], expected is [", want, " ]");
}

void check_rows(const Rows& rows, int64_t n, c10::Device device) {
  const at::Tensor& x = rows.embeddings;
  require(x.defined() && x.dim() == 2, "validate: embeddings have no rows");
  const int64_t width = x.size(1);
  require(x.scalar_type() == at::kFloat, "validate: embeddings not float32");
  require(x.size(0) > 0, "validate: a segment of no rows");
  require(width >= 1 && width <= kMaxWidth, "validate: embedding width ",
          width, " is not 1 to ", kMaxWidth);
  if (!rows.weight.defined()) {
    require(width == n, "validate: rows of width ", width,
            " have no projection, and the workspace dimension is ", n);
    return;
  }
  check_tensor(rows.weight, "a projection's weight", {n, width}, device);
  check_tensor(rows.bias, "a projection's bias", {n}, device);
}

}  // namespace

void check_policy(const fdqc_policy& policy) {
  require(std::isfinite(policy.entropy_threshold) &&
              std::isfinite(policy.collapse_threshold) &&
              std::isfinite(policy.block_threshold),
          "validate: a threshold is not finite");
  require(policy.tier >= FDQC_TIER_ALPHA && policy.tier <= FDQC_TIER_OMEGA,
          "validate: tier ", policy.tier, " is not 0 to 5");
  require(policy.state_update == FDQC_STATE_ROW ||
              policy.state_update == FDQC_STATE_FIRST_ELEMENT,
          "validate: state update ", policy.state_update, " is not 0 or 1");
  require(policy.safe_mode <= 1 && policy.require_human_approval <= 1,
          "validate: safe_mode or require_human_approval is not 0 or 1");
}

void check(const Inputs& in, const at::Tensor (&sides)[2]) {
  require(in.state_real.defined() && in.state_real.dim() == 2,
          "validate: state_real is not [slots, n]");
  const int64_t slots = in.state_real.size(0), n = in.state_real.size(1);
  const c10::Device device = in.state_real.device();
  require(n >= 2 && n <= kMaxWorkspace, "validate: workspace dimension ", n,
          " is not 2 to ", kMaxWorkspace);
  require(slots >= 1 && slots <= kMaxSlots, "validate: ", slots,
          " slots are not 1 to ", kMaxSlots);
  check_tensor(in.state_real, "state_real", {slots, n}, device);
  check_tensor(in.loaded_real, "loaded_real", {n}, device);
  check_tensor(in.state_imag, "state_imag", {n}, device);
  require(in.detector.size() == 6, "validate: risk_detector has ",
          in.detector.size(), " tensors, expected are 6");
  const std::vector<std::vector<int64_t>> shapes = {
      {64, 2 * n}, {64}, {32, 64}, {32}, {1, 32}, {1}};
  for (size_t i = 0; i < shapes.size(); ++i) {
    check_tensor(in.detector[i], "a risk_detector tensor", shapes[i], device);
  }
  for (const at::Tensor& side : sides) {
    require(side.defined() && side.dim() == 2, "validate: a side is missing");
    check_tensor(side, "patterns", {side.size(0), 2 * n}, device);
  }
  check_policy(in.policy);
  int64_t count = 0;
  for (const Rows& rows : in.segments) {
    check_rows(rows, n, device);
    count += rows.embeddings.size(0);
  }
  require(count == in.count, "validate: the segments have ", count,
          " rows, the batch ", in.count);
  require(count >= 1 && count <= kMaxBatch, "validate: a batch of ", count,
          " rows, not 1 to ", kMaxBatch);
  for (int64_t i = 0; in.slots != nullptr && i < count; ++i) {
    require(in.slots[i] >= 0 && in.slots[i] < slots, "validate: slot ",
            in.slots[i], " of row ", i, " is not 0 to ", slots - 1);
  }
}

namespace {

at::Tensor index_on(const std::vector<int64_t>& index, c10::Device device) {
  return at::from_blob(const_cast<int64_t*>(index.data()),
                       {static_cast<int64_t>(index.size())}, at::kLong)
      .to(device, at::kLong, /*non_blocking=*/false, /*copy=*/true);
}

// The states of a batch while its chunks pass, numbered as they are named.
class Sessions {
 public:
  explicit Sessions(const Inputs& in) : slots_(in.slots) {
    if (slots_ == nullptr) {
      named.push_back(0);
    } else {
      number_.assign(in.state_real.size(0), -1);
      for (int64_t i = 0; i < in.count; ++i) {
        int32_t& number = number_[slots_[i]];
        if (number >= 0) continue;
        number = static_cast<int32_t>(named.size());
        named.push_back(slots_[i]);
      }
    }
    states = in.state_real.index_select(
        0, index_on(named, in.state_real.device()));
    reset_due_.assign(named.size(), 0);
  }

  int32_t of(int64_t row) const {
    return slots_ == nullptr ? 0 : number_[slots_[row]];
  }

  // A row that is dropped leaves its reset to the slot's next row.
  void drop(int64_t row, bool reset) {
    if (reset) reset_due_[of(row)] = 1;
  }

  ScanRow keep(int64_t row, bool reset) {
    const int32_t slot = of(row);
    const bool due = reset_due_[slot] != 0;
    reset_due_[slot] = 0;
    return {slot, reset || due};
  }

  // Resets that no row took over.
  void finish(const at::Tensor& loaded) {
    for (size_t i = 0; i < reset_due_.size(); ++i) {
      if (reset_due_[i] != 0) {
        states.select(0, static_cast<int64_t>(i)).copy_(loaded);
      }
    }
  }

  std::vector<int64_t> named;  // slots in the order of their first rows
  at::Tensor states;           // [named.size(), n]

 private:
  const int32_t* slots_;
  std::vector<int32_t> number_;
  std::vector<uint8_t> reset_due_;
};

// The rows of a chunk that are judged, and how they move states.
struct Kept {
  std::vector<int64_t> rows;   // in the chunk
  std::vector<ScanRow> moves;  // empty when all move state 0 without a reset
  bool any_no_allow = false;
};

Kept keep(const Inputs& in, Sessions& sessions, int64_t first, int64_t rows,
          const at::Tensor& finite, int32_t* status) {
  const at::Tensor host = finite.to(at::kCPU);
  const bool* const is_finite = host.const_data_ptr<bool>();
  Kept kept;
  kept.rows.reserve(rows);
  bool plain = sessions.named.size() == 1;
  for (int64_t i = 0; i < rows; ++i) {
    const uint8_t flags = in.row_flags ? in.row_flags[first + i] : 0;
    const bool reset = (flags & FDQC_ROW_RESET) != 0;
    if ((flags & FDQC_ROW_SKIP) != 0 || !is_finite[i]) {
      status[i] = (flags & FDQC_ROW_SKIP) != 0 ? FDQC_ROW_SKIPPED
                                               : FDQC_ROW_OVERFLOW;
      sessions.drop(first + i, reset);
      continue;
    }
    kept.any_no_allow |= (flags & FDQC_ROW_NO_ALLOW) != 0;
    kept.rows.push_back(i);
    kept.moves.push_back(sessions.keep(first + i, reset));
    plain = plain && !kept.moves.back().reset;
  }
  if (plain) kept.moves.clear();
  return kept;
}

at::Tensor no_allow_of(const Inputs& in, int64_t first, const Kept& kept,
                       c10::Device device) {
  if (!kept.any_no_allow) return {};
  at::Tensor host = at::empty({static_cast<int64_t>(kept.rows.size())},
                              at::TensorOptions().dtype(at::kBool));
  bool* const to = host.mutable_data_ptr<bool>();
  for (size_t i = 0; i < kept.rows.size(); ++i) {
    to[i] = (in.row_flags[first + kept.rows[i]] & FDQC_ROW_NO_ALLOW) != 0;
  }
  return host.to(device);
}

// The answers of a chunk on its device; `known` as of Scored.
struct Answers {
  at::Tensor scores, nearest, flags, known;
};

Answers judge(const Inputs& in, const Scorer& scorer, const at::Tensor& z,
              const at::Tensor& states, const at::Tensor& no_allow) {
  const int64_t rows = z.size(0);
  const c10::Device device = z.device();
  Answers all;
  all.scores = at::empty({rows, kScoreColumns}, z.options());
  all.nearest = at::empty({rows, 2}, z.options().dtype(at::kLong));
  all.flags = at::empty({rows}, z.options().dtype(at::kInt));
  all.known = at::empty({rows}, z.options().dtype(at::kBool));
  const int64_t tile = tile_rows(device, rows);
  const int64_t room =
      in.matrix_floats > 0 ? in.matrix_floats : matrix_floats(device);
  for_tiles(device, (rows + tile - 1) / tile, [&](int64_t i) {
    const int64_t from = i * tile, to = std::min(from + tile, rows);
    const at::Tensor mine = z.slice(0, from, to);
    const Nearest safe = nearest(*in.sides[FDQC_SAFE], mine, room);
    const Nearest unsafe = nearest(*in.sides[FDQC_UNSAFE], mine, room);
    const Scored scored =
        score(scorer, states.slice(0, from, to), safe.distance,
              unsafe.distance,
              no_allow.defined() ? no_allow.slice(0, from, to) : no_allow);
    all.scores.slice(0, from, to).copy_(scored.scores);
    all.flags.slice(0, from, to).copy_(scored.flags);
    all.known.slice(0, from, to).copy_(scored.known);
    const at::Tensor nearest = all.nearest.slice(0, from, to);
    nearest.select(1, FDQC_SAFE).copy_(safe.index);
    nearest.select(1, FDQC_UNSAFE).copy_(unsafe.index);
  });
  return all;
}

// Writes a chunk's answers to rows first + kept.rows of the outputs, which
// hold refusals so far.
void put(const Answers& on_device, const Kept& kept, int64_t first,
         Outputs& out) {
  const at::Tensor scores = on_device.scores.to(at::kCPU);
  const at::Tensor nearest = on_device.nearest.to(at::kCPU);
  const at::Tensor flags = on_device.flags.to(at::kCPU);
  const at::Tensor known = on_device.known.to(at::kCPU);
  const float* const s = scores.const_data_ptr<float>();
  const int64_t* const p = nearest.const_data_ptr<int64_t>();
  float* const s_out = out.scores.mutable_data_ptr<float>();
  int64_t* const p_out = out.nearest.mutable_data_ptr<int64_t>();
  int32_t* const f_out = out.flags.mutable_data_ptr<int32_t>();
  for (size_t i = 0; i < kept.rows.size(); ++i) {
    const int64_t row = first + kept.rows[i];
    if (!known.const_data_ptr<bool>()[i]) {
      out.row_status[row] = FDQC_ROW_NO_SCORE;
      continue;
    }
    out.row_status[row] = FDQC_ROW_OK;
    std::copy_n(s + i * kScoreColumns, kScoreColumns,
                s_out + row * kScoreColumns);
    std::copy_n(p + i * 2, 2, p_out + row * 2);
    f_out[row] = flags.const_data_ptr<int32_t>()[i];
  }
}

Outputs refusals(int64_t count) {
  Outputs out;
  out.scores = at::full({count, kScoreColumns},
                        std::numeric_limits<double>::quiet_NaN(),
                        at::TensorOptions().dtype(at::kFloat));
  out.nearest = at::full({count, 2}, -1, at::TensorOptions().dtype(at::kLong));
  out.flags =
      at::full({count}, kRefusedFlags, at::TensorOptions().dtype(at::kInt));
  out.row_status.assign(count, FDQC_ROW_OK);
  return out;
}

}  // namespace

Outputs validate(const Inputs& in) {
  const NoAutograd guard;
  for (const PreparedSide* side : in.sides) {
    require(side != nullptr, "validate: a pattern side is missing");
  }
  check(in, {in.sides[FDQC_SAFE]->rows, in.sides[FDQC_UNSAFE]->rows});
  const c10::Device device = in.state_real.device();
  const int64_t n = in.state_real.size(1);
  const Scorer scorer(in.detector, in.state_imag, in.policy,
                      in.sides[FDQC_SAFE]->count > 0,
                      in.sides[FDQC_UNSAFE]->count > 0);
  Outputs out = refusals(in.count);
  Sessions sessions(in);
  for (int64_t first = 0; first < in.count; first += kChunkRows) {
    const int64_t rows = std::min(kChunkRows, in.count - first);
    at::Tensor finite;
    at::Tensor z = workspace(in.segments, n, first, rows, device, finite);
    const Kept kept = keep(in, sessions, first, rows, finite,
                           out.row_status.data() + first);
    if (kept.rows.empty()) continue;
    if (static_cast<int64_t>(kept.rows.size()) < rows) {
      z = z.index_select(0, index_on(kept.rows, device));
    }
    const at::Tensor u = in.policy.state_update == FDQC_STATE_FIRST_ELEMENT
                             ? z.narrow(1, 0, 1).expand_as(z)
                             : z;
    const at::Tensor states =
        scan(u, kept.moves, sessions.states, in.loaded_real);
    put(judge(in, scorer, z, states, no_allow_of(in, first, kept, device)),
        kept, first, out);
  }
  sessions.finish(in.loaded_real);
  out.slots = std::move(sessions.named);
  out.states = sessions.states;
  return out;
}

}  // namespace fdqc
