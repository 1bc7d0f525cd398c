// Records in which kernels say which value was at fault, and the checks that read them.
#include <cstring>
#include <utility>

#include "legato/backends/cuda/device.h"
#include "legato/base/error.h"

namespace legato::cuda {

namespace {

/// What a launch that checks values is called, and how it describes a violation.
struct Reporter {
  const char* op;
  GpuDevice::Describe describe;
};
constexpr size_t kMostRecorded = 64;  // launches of one recording that check values

}  // namespace

/// Holds one record until nobody asks for it any more.
class ReportCheck final : public DeviceCheck {
 public:
  ReportCheck(GpuDevice& device, int slot, Reporter reporter)
      : device_(device), slot_(slot), reporter_(reporter) {}
  ReportCheck(GpuDevice& device, int slot, std::shared_ptr<GpuDevice::RecordedReports> recorded)
      : device_(device), slot_(slot), recorded_(std::move(recorded)) {}

  std::exception_ptr error() override;

 private:
  ~ReportCheck() override {
    std::lock_guard lock(device_.report_lock_);
    device_.used_reports_.push_back(slot_);
  }
  GpuDevice& device_;
  int slot_;
  Reporter reporter_{};
  std::shared_ptr<GpuDevice::RecordedReports> recorded_;
};

class GpuDevice::RecordedReports : public std::enable_shared_from_this<RecordedReports> {
 public:
  explicit RecordedReports(GpuDevice& device) : device_(device) {
    void* stubs = nullptr;
    check(driver().cuMemHostAlloc(&stubs, sizeof(ValueReport) * kMostRecorded,
                                  CU_MEMHOSTALLOC_DEVICEMAP),
          "pinning host memory");
    stubs_ = static_cast<ValueReport*>(stubs);
    target_ = reinterpret_cast<CUdeviceptr>(device.allocate(sizeof(ValueReport*)));
  }
  ~RecordedReports() {
    device_.wait_for_queues();  // a replay may still read the stubs
    driver().cuMemFreeHost(stubs_);
    device_.free(reinterpret_cast<void*>(target_));
  }
  bool full() const { return reporters_.size() == kMostRecorded; }

  /// What a launch is given that is recorded now.
  ValueReport* add(Reporter reporter) {
    ValueReport& stub = stubs_[reporters_.size()];
    stub = ValueReport{};
    stub.redirect = reinterpret_cast<ValueReport**>(target_);
    stub.launch = static_cast<int>(reporters_.size());
    reporters_.push_back(reporter);
    return &stub;
  }
  /// From here on in the device's order, reports go to `record`.
  void lead_to(const ValueReport* record) {
    uint32_t half[2];
    std::memcpy(half, &record, sizeof half);
    for (unsigned i = 0; i < 2; ++i)
      check(driver().cuMemsetD32Async(target_ + 4 * i, half[i], 1, device_.queue()),
            "directing reports");
  }
  Reporter reporter(int launch) const { return reporters_[static_cast<size_t>(launch)]; }
  const char* first_op() const { return reporters_.front().op; }

 private:
  GpuDevice& device_;
  ValueReport* stubs_ = nullptr;  // pinned; kMostRecorded of them
  CUdeviceptr target_ = 0;        // of the device: a ValueReport*
  std::vector<Reporter> reporters_;
};

std::exception_ptr ReportCheck::error() {
  const ValueReport& r = device_.reports_[slot_];
  if (!r.set) return nullptr;
  const Reporter from = recorded_ ? recorded_->reporter(r.launch) : reporter_;
  return from.describe(from.op, r);
}

void GpuDevice::open_reports() {
  void* reports = nullptr;
  check(
      driver().cuMemHostAlloc(&reports, sizeof(ValueReport) * kReports, CU_MEMHOSTALLOC_DEVICEMAP),
      "pinning host memory");
  reports_ = static_cast<ValueReport*>(reports);
  check(
      driver().cuMemAllocFromPoolAsync(&claims_, sizeof(int) * kReports, pool_, queues_[0].stream),
      "an array");
  for (int i = kReports; i-- > 0;) free_reports_.push_back(i);
  clear_reports(free_reports_);
}

void GpuDevice::clear_reports(const std::vector<int>& slots) {
  for (int slot : slots) {
    reports_[slot] = ValueReport{};
    reports_[slot].claim =
        reinterpret_cast<int*>(claims_ + sizeof(int) * static_cast<unsigned>(slot));
  }
  check(driver().cuMemsetD8Async(claims_, 0, sizeof(int) * kReports, queues_[0].stream),
        "clearing memory");
  check(driver().cuStreamSynchronize(queues_[0].stream), "clearing memory");  // for all queues
}

int GpuDevice::take_report(const char* op) {
  std::unique_lock lock(report_lock_);
  if (free_reports_.empty()) {
    lock.unlock();
    synchronize();  // launches whose records were released have ended
    lock.lock();
    free_reports_.swap(used_reports_);
    if (free_reports_.empty())
      throw EvalError(cat(op, ": ", kReports,
                          " results whose indices have not been checked yet are "
                          "alive on the GPU; evaluate some of them"));
    clear_reports(free_reports_);
  }
  const int slot = free_reports_.back();
  free_reports_.pop_back();
  return slot;
}

GpuDevice::Report GpuDevice::report(const char* op, Describe describe) {
  if (recorder_ != this) {
    const int slot = take_report(op);
    return {&reports_[slot],
            Ref<DeviceCheck>::adopt(new ReportCheck(*this, slot, Reporter{op, describe}))};
  }
  if (!recorded_reports_) recorded_reports_ = std::make_shared<RecordedReports>(*this);
  if (recorded_reports_->full()) refuse_to_record("a check of values after 64 others");
  return {recorded_reports_->add({op, describe}), nullptr};
}

Ref<DeviceCheck> GpuDevice::direct(RecordedReports& reports) {
  const int slot = take_report(reports.first_op());
  auto made = Ref<DeviceCheck>::adopt(new ReportCheck(*this, slot, reports.shared_from_this()));
  reports.lead_to(&reports_[slot]);
  return made;
}

}  // namespace legato::cuda
