#include "cpu_validate.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "cpu_scan.h"
#include "cpu_turn.h"
#include "finite.h"
#include "match_kernels.h"
#include "pool.h"

namespace fdqc::cpu {
namespace {

// A tile is not worth waking a thread for below this many multiply-adds (some
// 10 us of a core).
constexpr int64_t kLeastWork = int64_t{1} << 18;
// Workspace numbers of a tile, which stay in the second cache with the states.
constexpr int64_t kTileFloats = int64_t{1} << 15;
constexpr int64_t kMostTileRows = 240, kLeastTileRows = 16;

// A multiple of the lanes of scoring, or where there are many rows of a wide
// workspace, of what its matching takes at a time.
int64_t whole(int64_t rows, int64_t n) {
  const int64_t unit = n > kSmallWidth && rows >= 48 ? 24 : 16;
  return std::max(rows / unit * unit, kLeastTileRows);
}

int64_t forced_tile_rows = 0;

// The memory of one tile at work.
struct Room {
  Floats z, state, score;
  std::vector<Found> found[2];
  std::vector<int32_t> places;
  std::vector<uint32_t> status;
  MatchScratch match;

  void reserve(int64_t rows, int64_t n) {
    z.reserve(rows * n);
    state.reserve(rows * n);
    score.reserve(score_room(rows, n));
    for (auto& side : found) {
      if (static_cast<int64_t>(side.size()) < rows) side.resize(rows);
    }
    if (static_cast<int64_t>(places.size()) < rows) places.resize(rows);
    if (static_cast<int64_t>(status.size()) < rows) status.resize(rows);
  }
};

// Rooms that nobody is in. As many are made as threads ever computed at once:
// memory of a thread's own would be made anew for every thread that calls.
class Rooms {
 public:
  std::unique_ptr<Room> take() {
    const std::lock_guard<std::mutex> hold(mutex_);
    if (free_.empty()) {
      auto room = std::make_unique<Room>();
      free_.reserve(++made_);  // giving it back cannot fail
      return room;
    }
    std::unique_ptr<Room> room = std::move(free_.back());
    free_.pop_back();
    return room;
  }
  void give(std::unique_ptr<Room> room) noexcept {
    const std::lock_guard<std::mutex> hold(mutex_);
    free_.push_back(std::move(room));
  }

 private:
  std::mutex mutex_;
  size_t made_ = 0;
  std::vector<std::unique_ptr<Room>> free_;
};

Rooms& rooms() {
  static Rooms all;
  return all;
}

class Lease {
 public:
  Lease() : room_(rooms().take()) {}
  ~Lease() { rooms().give(std::move(room_)); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Room& operator*() { return *room_; }

 private:
  std::unique_ptr<Room> room_;
};

// Calls body(segment, first row in it, rows, first row in the tile) for the
// parts of the rows [first, first + count).
template <class Body>
void for_parts(const Rows& rows, int64_t first, int64_t count,
               const Body& body) {
  int64_t begin = 0, done = 0;
  for (const Segment* s = rows.segments; done < count; begin += s->count, ++s) {
    const int64_t from = first + done - begin;
    if (from >= s->count) continue;
    const int64_t mine = std::min(s->count - from, count - done);
    body(*s, from, mine, done);
    done += mine;
  }
}

// The workspace rows [first, first + count): `to`, or the caller's own.
const float* workspace(const Rows& rows, int64_t first, int64_t count,
                       float* to) {
  const float* z = to;
  for_parts(rows, first, count, [&](const Segment& s, int64_t from,
                                    int64_t mine, int64_t at) {
    const float* const x = s.rows + from * s.width;
    if (s.projection != nullptr) {
      (*s.projection)(x, mine, to + at * rows.n);
    } else if (mine == count) {
      z = x;
    } else {
      std::copy_n(x, mine * rows.n, to + at * rows.n);
    }
  });
  return z;
}

// Why the workspace row is not finite: what is not finite in an embedding
// gets into every element of it.
uint32_t refusal(const Rows& rows, int64_t row) {
  bool given = true;
  for_parts(rows, row, 1, [&](const Segment& s, int64_t from, int64_t,
                              int64_t) {
    given = finite(s.rows + from * s.width, s.width);
  });
  return given ? FDQC_ROW_OVERFLOW : FDQC_ROW_NOT_FINITE;
}

// How a batch is cut.
struct Tiles {
  int64_t rows, count;
};

Tiles tiles(const Rows& rows, int64_t patterns) {
  int64_t widest = 0;
  for (int64_t i = 0; i < rows.segment_count; ++i) {
    if (rows.segments[i].projection != nullptr) {
      widest = std::max(widest, rows.segments[i].width);
    }
  }
  const int64_t work = rows.n * (widest + patterns + kHidden0) +
                       kHidden0 * kHidden1 + 64 * rows.n;
  const int64_t threads = Pool::instance().threads();
  // Several for each thread, so that one which comes late holds up little.
  const int64_t share = rows.count / (4 * threads);
  const int64_t most =
      whole(std::min(kTileFloats / rows.n, kMostTileRows), rows.n);
  int64_t of =
      std::min(whole(std::max(share, kLeastWork / work), rows.n), most);
  if (threads == 1) of = most;
  if (forced_tile_rows > 0) of = forced_tile_rows;
  return {std::min(of, rows.count), (rows.count + of - 1) / of};
}

// One batch on its way.
class Run {
 public:
  Run(const Batch& batch, States& states, fdqc_verdict* out)
      : batch_(batch),
        out_(out),
        n_(batch.rows.n),
        loaded_(states.loaded_real()),
        scoring_(*batch.detector, states.imag(), batch.policy,
                 batch.sides[FDQC_SAFE]->count() > 0,
                 batch.sides[FDQC_UNSAFE]->count() > 0, batch.ids[FDQC_SAFE],
                 batch.ids[FDQC_UNSAFE]),
        moving_(states, batch.slots, batch.rows.count) {}

  void all() {
    const Tiles cut = tiles(batch_.rows, batch_.sides[FDQC_SAFE]->count() +
                                             batch_.sides[FDQC_UNSAFE]->count());
    if (cut.count == 1) {
      tile(0, cut.rows);
    } else {
      Pool::instance().run(cut.count, [this, &cut](int64_t i) {
        tile(i, cut.rows);
      });
    }
    moving_.commit();
  }

 private:
  void tile(int64_t i, int64_t rows) {
    try {
      judge(i, i * rows, std::min(rows, batch_.rows.count - i * rows));
    } catch (...) {
      turn_.fail();
      throw;
    }
  }

  void judge(int64_t tile, int64_t first, int64_t count) {
    Lease lease;
    Room& room = *lease;
    room.reserve(count, n_);
    const float* z = workspace(batch_.rows, first, count, room.z.data());
    const uint8_t* const flags =
        batch_.row_flags == nullptr ? nullptr : batch_.row_flags + first;
    // Where the kept rows go, when not all rows are.
    const int32_t* places = nullptr;
    int64_t kept = count;
    if (flags != nullptr || !finite(z, count * n_)) {
      kept = keep(z, first, count, room);
      if (kept < count) {
        compact(z, kept, room);
        z = room.z.data();
        places = room.places.data();
      }
    }
    if (!turn_.wait(tile)) return;
    move(z, first, count, kept, room);
    turn_.pass(tile);
    nearest(*batch_.sides[FDQC_SAFE], *batch_.sides[FDQC_UNSAFE], z, kept,
            room.found[FDQC_SAFE].data(), room.found[FDQC_UNSAFE].data(),
            room.match);
    const Judged judged = {kept,
                           room.state.data(),
                           {room.found[FDQC_SAFE].data(),
                            room.found[FDQC_UNSAFE].data()},
                           places,
                           flags};
    score(scoring_, judged, room.score.data(), out_ + first);
  }

  // Lists the rows to judge in room.places, and refuses the others.
  int64_t keep(const float* z, int64_t first, int64_t count, Room& room) {
    int64_t kept = 0;
    for (int64_t i = 0; i < count; ++i) {
      if (batch_.row_flags != nullptr &&
          (batch_.row_flags[first + i] & FDQC_ROW_SKIP) != 0) {
        out_[first + i] = refused(FDQC_ROW_SKIPPED);
      } else if (!finite(z + i * n_, n_)) {
        out_[first + i] = refused(refusal(batch_.rows, first + i));
      } else {
        room.places[kept++] = static_cast<int32_t>(i);
      }
    }
    return kept;
  }

  // Brings the kept rows together, in room.z.
  void compact(const float* z, int64_t kept, Room& room) {
    for (int64_t k = 0; k < kept; ++k) {
      std::memmove(room.z.data() + k * n_, z + room.places[k] * n_,
                   static_cast<size_t>(n_) * sizeof(float));
    }
  }

  // Moves the states through the tile, run by run of rows that move the same.
  void move(const float* z, int64_t first, int64_t count, int64_t kept,
            Room& room) {
    int64_t begin = 0, end = 0;  // the run, among the kept rows
    float* state =
        moving_.of(batch_.slots == nullptr ? 0 : batch_.slots[first]);
    const auto finish = [&] {
      if (begin == end) return;
      scan(state, z + begin * n_, end - begin, n_,
           batch_.policy.state_update == FDQC_STATE_FIRST_ELEMENT,
           room.state.data() + begin * n_);
      begin = end;
    };
    if (batch_.slots == nullptr && batch_.row_flags == nullptr) {
      end = kept;
      finish();
      return;
    }
    for (int64_t i = 0; i < count; ++i) {
      if (batch_.slots != nullptr) {
        float* const mine = moving_.of(batch_.slots[first + i]);
        if (mine != state) finish();
        state = mine;
      }
      // That of a refused row is as good as one of the slot's next row.
      if (batch_.row_flags != nullptr &&
          (batch_.row_flags[first + i] & FDQC_ROW_RESET) != 0) {
        finish();
        std::copy_n(loaded_, n_, state);
      }
      if (kept == count || (end < kept && room.places[end] == i)) ++end;
    }
    finish();
  }

  const Batch& batch_;
  fdqc_verdict* const out_;
  const int64_t n_;
  const float* const loaded_;
  const Scoring scoring_;
  States::Moving moving_;
  Turn turn_;
};

}  // namespace

void validate(const Batch& batch, States& states, fdqc_verdict* out) {
  Run(batch, states, out).all();
}

void project(const Rows& rows, float* out, uint32_t* row_status) {
  const Tiles cut = tiles(rows, 0);
  const auto tile = [&](int64_t i) {
    const int64_t first = i * cut.rows;
    const int64_t count = std::min(cut.rows, rows.count - first);
    float* const to = out + first * rows.n;
    const float* const z = workspace(rows, first, count, to);
    if (z != to) std::copy_n(z, count * rows.n, to);
    for (int64_t r = 0; r < count; ++r) {
      float* const row = to + r * rows.n;
      row_status[first + r] = FDQC_ROW_OK;
      if (finite(row, rows.n)) continue;
      row_status[first + r] = refusal(rows, first + r);
      std::fill_n(row, rows.n, std::numeric_limits<float>::quiet_NaN());
    }
  };
  Pool::instance().run(cut.count, std::ref(tile));
}

void set_tile_rows(int64_t rows) { forced_tile_rows = rows; }

}  // namespace fdqc::cpu
