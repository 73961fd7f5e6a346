// The shim's own threads. One batch is cut into tiles that the pool's workers
// and the caller claim one after another.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace fdqc {

// threads() - 1 workers and the caller compute together. A worker that finds
// no work looks for it for about 100 us, then sleeps and costs nothing. Runs
// of several threads go one after another; a run inside a tile executes in
// the thread that asks.
class Pool {
 public:
  // The process's pool; one thread (the caller) until resize, and again in a
  // process that is forked off.
  static Pool& instance();

  Pool() = default;
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Joins the workers there are and starts threads - 1 new ones. Throws
  // std::invalid_argument below 1, std::logic_error inside a tile, and what
  // std::thread throws; a pool that could not start them all has none.
  void resize(int threads);

  // Computing threads, the caller's included.
  int threads() const;

  // Calls body(i) once for every i in [0, tiles), in any order and from any
  // of the threads; returns when all calls have. When calls throw, tiles that
  // nobody has claimed are left out and the exception that came first is
  // thrown again here.
  void run(int64_t tiles, const std::function<void(int64_t)>& body);

 private:
  void stop();
  void work(uint64_t seen);
  bool join(uint64_t& seen);
  void leave();
  void claim();

  std::mutex gate_;  // one run or resize at a time
  std::vector<std::thread> workers_;
  std::atomic<int> threads_{1};

  // One run. Nobody waits for a worker that has not joined while there were
  // tiles: on a busy machine it may wake up much later.
  const std::function<void(int64_t)>* body_ = nullptr;
  int64_t tiles_ = 0;
  std::atomic<int64_t> next_{0};
  bool open_ = false;           // workers may join; under sleep_
  std::atomic<int> joined_{0};  // and have not left; raised under sleep_
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;

  std::atomic<uint64_t> round_{0};  // raised by each run
  std::atomic<bool> stopping_{false};
  std::mutex sleep_;
  std::condition_variable wake_, done_;
};

}  // namespace fdqc
