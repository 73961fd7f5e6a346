// A batch goes through a device in tiles of rows. While one tile is computed
// with, the next is copied there and the answers of the one before come back;
// the host waits for the device once, when all is on its way, and besides only
// for a buffer that it wants to fill again. (ATen's operators, where there are
// no kernels, look at numbers on the host between their steps.)
#include "device_batch.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "cpu_score.h"
#include "device_memory.h"
#include "device_rows.h"
#include "handles.h"
#include "kernels.h"
#include "operator.h"
#include "score.h"
#include "tiles.h"

namespace fdqc {
namespace {

static_assert(sizeof(cuda::Answer) == sizeof(fdqc_verdict) &&
                  offsetof(cuda::Answer, distance) ==
                      offsetof(fdqc_verdict, safe_distance) &&
                  offsetof(cuda::Answer, nearest) ==
                      offsetof(fdqc_verdict, nearest_safe) &&
                  offsetof(cuda::Answer, flags) ==
                      offsetof(fdqc_verdict, flags) &&
                  offsetof(cuda::Answer, row_status) ==
                      offsetof(fdqc_verdict, row_status),
              "an answer lies as a verdict does");
static_assert(kMostTileRows <= cuda::kMostRows, "a tile fits the kernels");
static_assert(cuda::kMostRows * cuda::kMostWidth < int64_t{1} << 31,
              "a grid of a thread a number fits");

constexpr int64_t kVerdictBytes = sizeof(fdqc_verdict);

// [bytes] of a tensor of bytes as a tensor of numbers.
at::Tensor numbers(const at::Tensor& bytes, int64_t from, int64_t count,
                   at::ScalarType type) {
  const int64_t size = static_cast<int64_t>(c10::elementSize(type));
  return bytes.narrow(0, from, count * size).view(type);
}

template <typename T>
const T* address(const at::Tensor& bytes, int64_t from) {
  return reinterpret_cast<const T*>(bytes.const_data_ptr<uint8_t>() + from);
}

// Every slot of the host's states has one on the device; new ones are as
// loaded.
void grow(fdqc_states& states) {
  const int64_t have = states.real.size(0), room = states.host->slots();
  if (room <= have) return;
  at::Tensor wider = at::empty({room, states.n}, states.real.options());
  wider.narrow(0, 0, have).copy_(states.real);
  wider.narrow(0, have, room - have)
      .copy_(states.loaded_real.expand({room - have, states.n}));
  states.real = wider;
}

// One try of a batch.
class Run {
 public:
  // share: of the memory that matching takes at most, in (0, 1].
  Run(const Kernels* kernels, const fdqc_batch& batch, int64_t tile_rows,
      double share)
      : kernels_(kernels),
        batch_(batch),
        states_(*batch.states),
        room_(*states_.room),
        lanes_(room_.lanes),
        tile_rows_(tile_rows),
        share_(share),
        moving_(*states_.host, batch.slots, batch.count),
        sides_{batch.patterns->sides[FDQC_SAFE].device->view(),
               batch.patterns->sides[FDQC_UNSAFE].device->view()} {}

  ~Run() {
    if (!done_) lanes_.drain();
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void all(fdqc_verdict* out) {
    begin();
    const int64_t tiles = (batch_.count + tile_rows_ - 1) / tile_rows_;
    tiles_.reserve(tiles);
    send(0);
    for (int64_t t = 0; t < tiles; ++t) {
      if (t + 1 < tiles) send(t + 1);
      DeviceRoom::Buffer& buffer = room_.buffers[t % 2];
      device_step(tiles_[t].count);
      lanes_.wait(buffer.arrived, Lane::kCompute);
      lanes_.note(LaneEvent::kRead, Lane::kCompute, buffer.rows);
      lanes_.note(LaneEvent::kWrite, Lane::kCompute, moved_);
      if (kernels_ != nullptr) {
        launch(tiles_[t], buffer);
        fetch(tiles_[t], buffer);
      } else {
        compose(tiles_[t], buffer);
      }
    }
    finish(out);
  }

 private:
  // The states that the batch names, as they are before it.
  void begin() {
    device_step(0);
    const std::vector<int32_t>& named = moving_.named();
    const int64_t count = static_cast<int64_t>(named.size());
    room_.refusal.resize(batch_.count);
    reserve(room_.verdicts, batch_.count * kVerdictBytes, true);
    reserve(room_.states, count * states_.n * 4, true);
    if (batch_.slots != nullptr) {
      number_.resize(batch_.count);
      for (int64_t i = 0; i < batch_.count; ++i) {
        number_[i] = moving_.number(batch_.slots[i]);
      }
    }
    grow(states_);
    if (count == 1) {
      moved_ = states_.real.narrow(0, named[0], 1).clone();
      return;
    }
    reserve(room_.slots, count * 8, true);
    lanes_.note(LaneEvent::kWrite, Lane::kHost, room_.slots);
    lanes_.note(LaneEvent::kRead, Lane::kCompute, room_.slots);
    at::Tensor slots = numbers(room_.slots, 0, count, at::kLong);
    std::copy(named.begin(), named.end(), slots.mutable_data_ptr<int64_t>());
    index_ = at::empty({count}, states_.real.options().dtype(at::kLong));
    index_.copy_(slots, /*non_blocking=*/true);
    moved_ = states_.real.index_select(0, index_);
  }

  // A buffer of at least so many bytes. One that is replaced may be in use: the
  // device's allocator hands it out again in the order of the lane that
  // computes, and the host's when the copies of it are over.
  void reserve(at::Tensor& buffer, int64_t bytes, bool pinned) {
    if (buffer.defined() && buffer.size(0) >= bytes) return;
    buffer = at::Tensor();
    buffer = pinned ? lanes_.pinned(bytes) : lanes_.on_device(bytes);
  }

  // Brings a tile to the device. It takes the place of the last tile but one,
  // whose work the lane that computes has been given.
  void send(int64_t t) {
    const int64_t first = t * tile_rows_;
    const TileRows& tile = tiles_.emplace_back(
        batch_, batch_.slots == nullptr ? nullptr : number_.data(), first,
        std::min(tile_rows_, batch_.count - first));
    DeviceRoom::Buffer& buffer = room_.buffers[t % 2];
    device_step(tile.count);
    lanes_.wait_on_host(buffer.arrived);
    reserve(buffer.pinned, tile.bytes, true);
    reserve(buffer.rows, tile.bytes, false);
    lanes_.note(LaneEvent::kWrite, Lane::kHost, buffer.pinned);
    tile.fill(buffer.pinned.mutable_data_ptr<uint8_t>(),
              room_.refusal.data() + first);
    lanes_.record(buffer.ready, Lane::kCompute);
    lanes_.wait(buffer.ready, Lane::kCopy);
    lanes_.copy(buffer.rows.narrow(0, 0, tile.bytes),
                buffer.pinned.narrow(0, 0, tile.bytes));
    lanes_.record(buffer.arrived, Lane::kCopy);
  }

  static at::Tensor rows_of(const TileRows::Piece& piece,
                            const DeviceRoom::Buffer& buffer) {
    return numbers(buffer.rows, piece.bytes,
                   piece.count * piece.segment->width, at::kFloat)
        .view({piece.count, piece.segment->width});
  }

  // The tile's workspace rows: as they came, or projected.
  at::Tensor workspace(const TileRows& tile, const DeviceRoom::Buffer& buffer) {
    const TileRows::Piece& only = tile.pieces.front();
    if (tile.pieces.size() == 1 && only.segment->projection == nullptr) {
      return rows_of(only, buffer);
    }
    at::Tensor z = at::empty({tile.count, states_.n}, states_.real.options());
    for (const TileRows::Piece& piece : tile.pieces) {
      at::Tensor to = z.narrow(0, piece.to, piece.count);
      const at::Tensor from = rows_of(piece, buffer);
      const fdqc_projection* const projection = piece.segment->projection;
      if (projection != nullptr) {
        at::addmm_out(to, projection->bias, from, projection->weight.t());
      } else {
        to.copy_(from);
      }
    }
    return z;
  }

  cuda::Side side_of(const PreparedSide& side, int64_t rows) const {
    cuda::Side to{};
    to.count = side.count;
    to.chunk = chunk_of(side.count, rows);
    to.chunks = static_cast<int>((side.count + to.chunk - 1) / to.chunk);
    to.tails = side.tail_zero ? 0 : 1;
    if (side.count == 0) return to;
    to.rows = side.rows.const_data_ptr<float>();
    to.lower = side.lower.const_data_ptr<float>();
    to.centre = side.centre.const_data_ptr<double>();
    return to;
  }

  // The tile by the kernels of validate.cu.
  void launch(const TileRows& tile, DeviceRoom::Buffer& buffer) {
    const int64_t rows = tile.count, n = states_.n;
    const int width = static_cast<int>(n);
    const auto floats = states_.real.options();
    void* const stream = lanes_.native();
    const at::Tensor z = workspace(tile, buffer);
    const at::Tensor ok = at::empty({rows}, floats.dtype(at::kByte));
    const at::Tensor states = at::empty({rows, n}, floats);
    const at::Tensor guess =
        at::empty({rows / cuda::kScanBlock + 1, n}, floats);

    const cuda::Settle settle = {z.const_data_ptr<float>(),
                                 address<unsigned char>(buffer.rows, tile.given),
                                 ok.mutable_data_ptr<uint8_t>(), rows, width};
    kernels_->settle(settle, stream);

    cuda::Scan scan{};
    scan.z = settle.z;
    scan.ok = settle.ok;
    if (!tile.in_order) {
      scan.order = address<int>(buffer.rows, tile.order);
      scan.slot = address<int>(buffer.rows, tile.slot);
      scan.marks = address<unsigned char>(buffer.rows, tile.marks);
    }
    scan.states = moved_.mutable_data_ptr<float>();
    scan.loaded = states_.loaded_real.const_data_ptr<float>();
    scan.out = states.mutable_data_ptr<float>();
    scan.guess = guess.mutable_data_ptr<float>();
    scan.rows = rows;
    scan.n = width;
    scan.first_element =
        batch_.policy.state_update == FDQC_STATE_FIRST_ELEMENT ? 1 : 0;
    kernels_->scan(scan, stream);

    cuda::Match match{};
    match.z = settle.z;
    match.ok = settle.ok;
    for (const int side : {FDQC_SAFE, FDQC_UNSAFE}) {
      match.sides[side] = side_of(sides_[side], rows);
    }
    const int64_t chunks =
        int64_t{match.sides[0].chunks} + match.sides[1].chunks;
    const at::Tensor squared =
        at::empty({chunks, rows}, floats.dtype(at::kDouble));
    const at::Tensor nearest =
        at::empty({chunks, rows}, floats.dtype(at::kLong));
    match.squared = squared.mutable_data_ptr<double>();
    match.nearest =
        reinterpret_cast<long long*>(nearest.mutable_data_ptr<int64_t>());
    match.rows = rows;
    kernels_->match(match, stream);

    // The last answers here were fetched before this tile's rows arrived.
    reserve(buffer.answers, rows * kVerdictBytes, false);
    cuda::Verdict verdict{};
    verdict.states = scan.out;
    verdict.imag = states_.loaded_imag.const_data_ptr<float>();
    for (int i = 0; i < 6; ++i) {
      verdict.detector[i] = batch_.weights->tensors[i].const_data_ptr<float>();
    }
    verdict.ok = settle.ok;
    verdict.no_allow = address<unsigned char>(buffer.rows, tile.no_allow);
    verdict.squared = match.squared;
    verdict.nearest = match.nearest;
    verdict.out = reinterpret_cast<cuda::Answer*>(
        buffer.answers.mutable_data_ptr<uint8_t>());
    verdict.rows = rows;
    verdict.chunks[0] = match.sides[0].chunks;
    verdict.chunks[1] = match.sides[1].chunks;
    verdict.log_n = static_cast<float>(std::log(static_cast<double>(n)));
    verdict.entropy_threshold = batch_.policy.entropy_threshold;
    verdict.collapse_threshold = batch_.policy.collapse_threshold;
    verdict.block_threshold = batch_.policy.block_threshold;
    verdict.tier = batch_.policy.tier;
    verdict.safe_mode = batch_.policy.safe_mode;
    verdict.require_human_approval = batch_.policy.require_human_approval;
    lanes_.note(LaneEvent::kWrite, Lane::kCompute, buffer.answers);
    kernels_->judge(verdict, stream);
  }

  // Brings a tile's answers back.
  void fetch(const TileRows& tile, DeviceRoom::Buffer& buffer) {
    lanes_.record(buffer.judged, Lane::kCompute);
    lanes_.wait(buffer.judged, Lane::kCopy);
    const int64_t bytes = tile.count * kVerdictBytes;
    lanes_.copy(
        room_.verdicts.narrow(0, tile.first * kVerdictBytes, bytes),
        buffer.answers.narrow(0, 0, bytes));
  }

  // The tile by ATen's operators; its answers are on the host at once.
  void compose(const TileRows& tile, const DeviceRoom::Buffer& buffer) {
    Inputs in;
    for (const TileRows::Piece& piece : tile.pieces) {
      Rows rows{rows_of(piece, buffer), {}, {}};
      if (piece.segment->projection != nullptr) {
        rows.weight = piece.segment->projection->weight;
        rows.bias = piece.segment->projection->bias;
      }
      in.segments.push_back(std::move(rows));
    }
    in.count = tile.count;
    // A row that is not finite moves as little as one to skip.
    std::vector<uint8_t> flags(tile.count, 0);
    for (int64_t i = 0; i < tile.count; ++i) {
      if (batch_.row_flags != nullptr) flags[i] = batch_.row_flags[tile.first + i];
      if (room_.refusal[tile.first + i] != FDQC_ROW_OK) {
        flags[i] |= FDQC_ROW_SKIP;
      }
    }
    in.row_flags = flags.data();
    in.slots = tile.number == nullptr ? nullptr : tile.number + tile.first;
    in.state_real = moved_;
    in.loaded_real = states_.loaded_real;
    in.state_imag = states_.loaded_imag;
    in.detector = batch_.weights->tensors;
    in.sides[FDQC_SAFE] = &sides_[FDQC_SAFE];
    in.sides[FDQC_UNSAFE] = &sides_[FDQC_UNSAFE];
    in.policy = batch_.policy;
    in.matrix_floats = std::max(
        kLeastMatrix, static_cast<int64_t>(
                          static_cast<double>(matrix_floats(moved_.device())) *
                          share_));
    const Outputs made = fdqc::validate(in);
    const at::Tensor index =
        at::from_blob(const_cast<int64_t*>(made.slots.data()),
                      {static_cast<int64_t>(made.slots.size())}, at::kLong)
            .to(moved_.device(), at::kLong, false, /*copy=*/true);
    moved_.index_copy_(0, index, made.states);

    fdqc_verdict* const to = answers() + tile.first;
    const float* s = made.scores.const_data_ptr<float>();
    const int64_t* p = made.nearest.const_data_ptr<int64_t>();
    const int32_t* f = made.flags.const_data_ptr<int32_t>();
    for (int64_t i = 0; i < tile.count; ++i, s += kScoreColumns, p += 2) {
      to[i] = {s[kRiskScore],      s[kRawRisk],
               s[kBaseRisk],       s[kEntropy],
               s[kCoherence],      s[kNovelty],
               s[kSafeSimilarity], s[kUnsafeSimilarity],
               s[kSafeDistance],   s[kUnsafeDistance],
               p[FDQC_SAFE],       p[FDQC_UNSAFE],
               static_cast<uint32_t>(f[i]),
               static_cast<uint32_t>(made.row_status[i])};
    }
  }

  fdqc_verdict* answers() {
    return reinterpret_cast<fdqc_verdict*>(
        room_.verdicts.mutable_data_ptr<uint8_t>());
  }

  // Takes the states over and writes the verdicts.
  void finish(fdqc_verdict* out) {
    device_step(0);
    const int64_t floats = moved_.numel();
    const at::Tensor host = numbers(room_.states, 0, floats, at::kFloat);
    Mark& moved = room_.buffers[0].ready;
    lanes_.record(moved, Lane::kCompute);
    lanes_.wait(moved, Lane::kCopy);
    lanes_.copy(host, moved_.flatten());
    lanes_.finish();
    if (index_.defined()) {
      states_.real.index_copy_(0, index_, moved_);
    } else {
      states_.real.narrow(0, moving_.named()[0], 1).copy_(moved_);
    }
    done_ = true;
    lanes_.note(LaneEvent::kRead, Lane::kHost, room_.states);
    lanes_.note(LaneEvent::kRead, Lane::kHost, room_.verdicts);
    // Nothing that can fail comes from here on.
    std::copy_n(host.const_data_ptr<float>(), floats, moving_.copies());
    moving_.commit();
    const fdqc_verdict* const from = answers();
    for (int64_t i = 0; i < batch_.count; ++i) {
      if (room_.refusal[i] != FDQC_ROW_OK) {
        out[i] = cpu::refused(room_.refusal[i]);
        continue;
      }
      out[i] = from[i];
      out[i].nearest_safe = id_of(FDQC_SAFE, from[i].nearest_safe);
      out[i].nearest_unsafe = id_of(FDQC_UNSAFE, from[i].nearest_unsafe);
    }
  }

  int64_t id_of(int side, int64_t row) const {
    return row < 0 ? -1 : batch_.patterns->sides[side].ids[row];
  }

  static constexpr int64_t kLeastMatrix = int64_t{1} << 20;

  const Kernels* const kernels_;
  const fdqc_batch& batch_;
  fdqc_states& states_;
  DeviceRoom& room_;
  Lanes& lanes_;
  const int64_t tile_rows_;
  const double share_;
  cpu::States::Moving moving_;
  const PreparedSide sides_[2];
  std::vector<int32_t> number_;  // [count] state of each row, if they differ
  at::Tensor index_;             // slots of the states, if there are several
  at::Tensor moved_;             // [states, n]
  std::vector<TileRows> tiles_;
  bool done_ = false;
};

}  // namespace

void validate_with(const Kernels* kernels, const fdqc_batch& batch,
                   fdqc_verdict* out) {
  const NoAutograd below;
  const int64_t& most = batch.states->room->tile_rows;
  with_less_memory(batch, [&](int64_t rows) {
    Run(kernels, batch, rows, static_cast<double>(most) / kMostTileRows)
        .all(out);
  });
}

void validate_on_device(const fdqc_batch& batch, fdqc_verdict* out) {
  validate_with(batch.states->kernels, batch, out);
}

}  // namespace fdqc
