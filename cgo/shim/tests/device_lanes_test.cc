// What the lanes of a device do at once: nothing that one reads is written by
// another before it is through. By vector clocks (Mattern, Virtual Time and
// Global States of Distributed Systems, 1989) over what a batch gave to its
// lanes.
#include "device_lanes.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

#include "device_batch.h"
#include "emulation.h"
#include "handles.h"
#include "handles_of.h"
#include "pretended.h"
#include "rows_of.h"

namespace fdqc {
namespace {

using Clock = std::array<int64_t, 3>;  // by lane

void join(Clock& to, const Clock& from) {
  for (size_t i = 0; i < to.size(); ++i) to[i] = std::max(to[i], from[i]);
}

// Pairs of accesses to one memory, one of them a write, of which neither comes
// before the other.
int64_t races(const std::vector<LaneEvent>& events) {
  struct Access {
    Lane lane;
    int64_t time;
    bool write;
  };
  Clock lanes[3] = {};
  std::map<const void*, Clock> marks;
  std::map<const void*, std::vector<Access>> memory;
  int64_t found = 0;
  for (const LaneEvent& e : events) {
    Clock& now = lanes[static_cast<int>(e.lane)];
    // What the host gives to a lane begins after what the host did before.
    join(now, lanes[static_cast<int>(Lane::kHost)]);
    const int64_t time = ++now[static_cast<int>(e.lane)];
    switch (e.kind) {
      case LaneEvent::kRecord:
        marks[e.at] = now;
        break;
      case LaneEvent::kWait:
        if (marks.count(e.at) != 0) join(now, marks[e.at]);
        break;
      case LaneEvent::kFinish:
        join(now, lanes[static_cast<int>(Lane::kCopy)]);
        break;
      default: {
        const bool write = e.kind == LaneEvent::kWrite;
        for (const Access& before : memory[e.at]) {
          if ((write || before.write) &&
              now[static_cast<int>(before.lane)] < before.time) {
            ++found;
          }
        }
        memory[e.at].push_back({e.lane, time, write});
      }
    }
  }
  return found;
}

TEST(DeviceLanes, NothingIsOverwrittenThatIsInUse) {
  const Pretended pretended;
  Source source(1);
  const Model model = reference::model(source, 8, 20, 20, 0.6f);
  const int64_t count = 1500;
  const Floats z = rows_around(source, model, count);
  std::vector<int32_t> slots(count);
  for (int32_t& slot : slots) slot = static_cast<int32_t>(source.below(3));
  const auto kernels = emulation::kernels(8);
  for (const bool own : {false, true}) {
    Handles device(model, 0);
    if (own) device.states->kernels = kernels.get();
    DeviceRoom& room = *device.states->room;
    room.tile_rows = 300;
    Batch batch(device, model, z.data(), count);
    batch.batch.slots = slots.data();
    batch.judge();  // its memory is made
    std::vector<LaneEvent> events;
    room.lanes.trace = &events;
    batch.judge();
    batch.judge();
    room.lanes.trace = nullptr;
    EXPECT_GT(events.size(), 100u);
    EXPECT_EQ(races(events), 0) << "own kernels: " << own;

    // Every wait is there for a reason.
    const auto without = [&](const Mark DeviceRoom::Buffer::*mark, Lane lane) {
      std::vector<LaneEvent> fewer;
      for (const LaneEvent& e : events) {
        const bool of = mark == nullptr
                            ? e.kind == LaneEvent::kFinish
                            : e.kind == LaneEvent::kWait && e.lane == lane &&
                                  (e.at == &(room.buffers[0].*mark) ||
                                   e.at == &(room.buffers[1].*mark));
        if (!of) fewer.push_back(e);
      }
      EXPECT_LT(fewer.size(), events.size());
      return races(fewer);
    };
    using Buffer = DeviceRoom::Buffer;
    EXPECT_GT(without(&Buffer::arrived, Lane::kCompute), 0);
    EXPECT_GT(without(&Buffer::arrived, Lane::kHost), 0);
    EXPECT_GT(without(nullptr, Lane::kHost), 0);
    // With own kernels the answers of the tile before are waited for anyway,
    // and what is left to it is memory that was just made.
    EXPECT_GT(without(own ? &Buffer::judged : &Buffer::ready, Lane::kCopy), 0);
  }
}

}  // namespace
}  // namespace fdqc
