// What Hopper brings: products of a whole warpgroup (wgmma) on operands in shared memory, tensor
// copies to there (TMA) and barriers that count their bytes. For sm_90a only, so for files called
// *_sm90a.cu; nothing here is emulated.
#pragma once

#include "legato/backends/cuda/kernel_abi.h"
#include "legato/backends/cuda/lane.cuh"

namespace legato::cuda {

LEGATO_INLINE uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// --- barriers in shared memory ---

/// A barrier that a phase of ends when all who are expected have arrived, and all bytes.
struct Barrier {
  uint64_t word;

  LEGATO_INLINE void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)),
                 "r"(arrivals)
                 : "memory");
  }
  LEGATO_INLINE void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this)) : "memory");
  }
  LEGATO_INLINE void arrive_and_expect(int bytes) {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)),
        "r"(bytes)
        : "memory");
  }
  /// Arrives at the barrier that stands in the same place of another block of the cluster.
  LEGATO_INLINE void arrive_at(int block) {
    asm volatile(
        "{\n"
        ".reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
        "}\n" ::"r"(shared_address(this)),
        "r"(block)
        : "memory");
  }
  /// Waits for the end of the phase of this parity: 0 for the first one.
  LEGATO_INLINE void wait(int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}\n" ::"r"(shared_address(this)),
        "r"(parity)
        : "memory");
  }
};
/// After init(), before anybody else uses the barriers; then __syncthreads(), or sync_cluster().
LEGATO_INLINE void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}

/// The block's number in its cluster.
LEGATO_INLINE int block_in_cluster() {
  uint32_t r;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return static_cast<int>(r);
}
/// Waits for all threads of all blocks of the cluster.
LEGATO_INLINE void sync_cluster() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
/// Which tile of a ring of `stages`, and the parity of the barriers' phase that fills it.
template <int stages>
struct Turn {
  int stage = 0, parity = 0;
  LEGATO_INLINE void next() {
    if (++stage == stages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// --- tensor copies ---

/// Copies the box at these coordinates, innermost first, to shared memory; `barrier` gets the bytes
/// of the whole box. Elements outside of the tensor become zeros.
LEGATO_INLINE void copy_box(void* to, const TensorMap& map, Barrier& barrier, int c0, int c1,
                            int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}

/// As copy_box, to the same place in each block of the cluster whose bit is set in `blocks`; the
/// barrier of each gets the bytes.
LEGATO_INLINE void copy_box_to_all(void* to, const TensorMap& map, Barrier& barrier, int blocks,
                                   int c0, int c1, int c2, int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%4, %5, %6, %7}], [%2], %3;" ::"r"(shared_address(to)),
      "l"(&map), "r"(shared_address(&barrier)), "h"(static_cast<uint16_t>(blocks)), "r"(c0),
      "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
/// The box at these coordinates becomes what stands in shared memory, as copy_box would have put it
/// there; elements outside of the tensor are left out. By the thread that then waits.
LEGATO_INLINE void store_box(const TensorMap& map, const void* from, int c0, int c1, int c2,
                             int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(
          &map),
      "r"(shared_address(from)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
LEGATO_INLINE void commit_stores() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Waits until the shared memory of this thread's stores may be written again.
LEGATO_INLINE void wait_stores_read() {
  asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory");
}
/// What this thread wrote to shared memory is seen by tensor copies that are started after this.
LEGATO_INLINE void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/// Copies `bytes`, a multiple of 16 as both addresses are, to shared memory; `barrier` gets them.
LEGATO_INLINE void copy_bytes(void* to, const void* from, int bytes, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(from), "r"(bytes), "r"(shared_address(&barrier))
      : "memory");
}

// --- products of a warpgroup ---

/// Describes a matrix of halves in shared memory whose rows are 128 bytes, swizzled by TMA in
/// groups of 8 rows. `panel`: bytes between panels of 64 columns, where rows are not the summed
/// axis.
LEGATO_INLINE uint64_t swizzled_matrix(uint32_t address, int panel = 16) {
  constexpr uint64_t kGroupOfRows = uint64_t{1024 >> 4} << 32, kSwizzle128 = uint64_t{1} << 62;
  return ((address & 0x3ffffu) >> 4) | static_cast<uint64_t>(panel >> 4) << 16 | kGroupOfRows |
         kSwizzle128;
}
/// The matrix `bytes` further on, in the same tile.
LEGATO_INLINE uint64_t moved_matrix(uint64_t matrix, int bytes) {
  return matrix + static_cast<uint64_t>(bytes >> 4);
}
/// Before the first product, and after registers that it uses were written.
LEGATO_INLINE void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
LEGATO_INLINE void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until all but the last `n` committed groups are done.
template <int n>
LEGATO_INLINE void wait_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(n) : "memory");
}
/// Keeps the compiler from moving uses of these registers across a wait.
template <int n>
LEGATO_INLINE void pin(float (&r)[n]) {
#pragma unroll
  for (int i = 0; i < n; ++i) asm volatile("" : "+f"(r[i])::"memory");
}

/// c (64, n) = or += a (64, 16) b (16, n) for halves of T, summed in float32. a: swizzled_matrix(),
/// or registers as multiply_tile() takes them. begin, add: b as swizzled_matrix() with its columns
/// as rows. add_rows: with rows as rows.
template <class T, int n>
struct Warpgroup;

#define LEGATO_REGS_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define LEGATO_REGS_20 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19"
#define LEGATO_REGS_24 LEGATO_REGS_20 ", %20, %21, %22, %23"
#define LEGATO_REGS_32 LEGATO_REGS_24 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define LEGATO_REGS_40 LEGATO_REGS_32 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define LEGATO_REGS_48 LEGATO_REGS_40 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define LEGATO_REGS_64                                                            \
  LEGATO_REGS_48                                                                  \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, " \
  "%63"
#define LEGATO_REGS_80 \
  LEGATO_REGS_64       \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"
#define LEGATO_REGS_128                                                             \
  LEGATO_REGS_80                                                                    \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, "   \
  "%95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, " \
  "%109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, "  \
  "%122, %123, %124, %125, %126, %127"
#define LEGATO_OUT_4(is, i) is(c[i]), is(c[i + 1]), is(c[i + 2]), is(c[i + 3])
#define LEGATO_OUT_16(is) \
  LEGATO_OUT_4(is, 0), LEGATO_OUT_4(is, 4), LEGATO_OUT_4(is, 8), LEGATO_OUT_4(is, 12)
#define LEGATO_OUT_20(is) LEGATO_OUT_16(is), LEGATO_OUT_4(is, 16)
#define LEGATO_OUT_24(is) LEGATO_OUT_20(is), LEGATO_OUT_4(is, 20)
#define LEGATO_OUT_32(is) LEGATO_OUT_24(is), LEGATO_OUT_4(is, 24), LEGATO_OUT_4(is, 28)
#define LEGATO_OUT_40(is) LEGATO_OUT_32(is), LEGATO_OUT_4(is, 32), LEGATO_OUT_4(is, 36)
#define LEGATO_OUT_48(is) LEGATO_OUT_40(is), LEGATO_OUT_4(is, 40), LEGATO_OUT_4(is, 44)
#define LEGATO_OUT_64(is)                                                              \
  LEGATO_OUT_48(is), LEGATO_OUT_4(is, 48), LEGATO_OUT_4(is, 52), LEGATO_OUT_4(is, 56), \
      LEGATO_OUT_4(is, 60)
#define LEGATO_OUT_80(is)                                                              \
  LEGATO_OUT_64(is), LEGATO_OUT_4(is, 64), LEGATO_OUT_4(is, 68), LEGATO_OUT_4(is, 72), \
      LEGATO_OUT_4(is, 76)
#define LEGATO_OUT_128(is)                                                                        \
  LEGATO_OUT_80(is), LEGATO_OUT_4(is, 80), LEGATO_OUT_4(is, 84), LEGATO_OUT_4(is, 88),            \
      LEGATO_OUT_4(is, 92), LEGATO_OUT_4(is, 96), LEGATO_OUT_4(is, 100), LEGATO_OUT_4(is, 104),   \
      LEGATO_OUT_4(is, 108), LEGATO_OUT_4(is, 112), LEGATO_OUT_4(is, 116), LEGATO_OUT_4(is, 120), \
      LEGATO_OUT_4(is, 124)

// i0 ... i4: numbers of the operands behind the n / 2 registers of c. A product that begins a sum
// only writes c: were c read too, registers would be moved while products before it are under way.
#define LEGATO_WARPGROUP(T, type, n, half_n, i0, i1, i2, i3, i4)                               \
  template <>                                                                                  \
  struct Warpgroup<T, n> {                                                                     \
    static LEGATO_INLINE void begin(float (&c)[half_n], uint64_t a, uint64_t b) {              \
      asm volatile(                                                                            \
          "{\n.reg .pred add;\nsetp.ne.b32 add, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #n   \
          "k16.f32." type "." type " {" LEGATO_REGS_##half_n "}, " i0 ", " i1                  \
                                                             ", add, 1, 1, 0, 0;\n}"           \
          : LEGATO_OUT_##half_n("=f")                                                          \
          : "l"(a), "l"(b));                                                                   \
    }                                                                                          \
    static LEGATO_INLINE void add(float (&c)[half_n], uint64_t a, uint64_t b) {                \
      asm volatile(                                                                            \
          "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\nwgmma.mma_async.sync.aligned.m64n" #n   \
          "k16.f32." type "." type " {" LEGATO_REGS_##half_n "}, " i0 ", " i1                  \
                                                             ", add, 1, 1, 0, 0;\n}"           \
          : LEGATO_OUT_##half_n("+f")                                                          \
          : "l"(a), "l"(b));                                                                   \
    }                                                                                          \
    static LEGATO_INLINE void begin(float (&c)[half_n], const uint32_t (&a)[4], uint64_t b) {  \
      asm volatile(                                                                            \
          "{\n.reg .pred add;\nsetp.ne.b32 add, 0, 0;\nwgmma.mma_async.sync.aligned.m64n" #n   \
          "k16.f32." type "." type " {" LEGATO_REGS_##half_n "}, {" i0 ", " i1 ", " i2 ", " i3 \
                                                             "}, " i4 ", add, 1, 1, 0;\n}"     \
          : LEGATO_OUT_##half_n("=f")                                                          \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                               \
    }                                                                                          \
    static LEGATO_INLINE void add(float (&c)[half_n], const uint32_t (&a)[4], uint64_t b) {    \
      asm volatile(                                                                            \
          "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\nwgmma.mma_async.sync.aligned.m64n" #n   \
          "k16.f32." type "." type " {" LEGATO_REGS_##half_n "}, {" i0 ", " i1 ", " i2 ", " i3 \
                                                             "}, " i4 ", add, 1, 1, 0;\n}"     \
          : LEGATO_OUT_##half_n("+f")                                                          \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                               \
    }                                                                                          \
    static LEGATO_INLINE void add_rows(float (&c)[half_n], const uint32_t* a, uint64_t b) {    \
      asm volatile(                                                                            \
          "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\nwgmma.mma_async.sync.aligned.m64n" #n   \
          "k16.f32." type "." type " {" LEGATO_REGS_##half_n "}, {" i0 ", " i1 ", " i2 ", " i3 \
                                                             "}, " i4 ", add, 1, 1, 1;\n}"     \
          : LEGATO_OUT_##half_n("+f")                                                          \
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                               \
    }                                                                                          \
  };
#define LEGATO_WARPGROUPS(T, type)                                      \
  LEGATO_WARPGROUP(T, type, 32, 16, "%16", "%17", "%18", "%19", "%20")  \
  LEGATO_WARPGROUP(T, type, 40, 20, "%20", "%21", "%22", "%23", "%24")  \
  LEGATO_WARPGROUP(T, type, 48, 24, "%24", "%25", "%26", "%27", "%28")  \
  LEGATO_WARPGROUP(T, type, 64, 32, "%32", "%33", "%34", "%35", "%36")  \
  LEGATO_WARPGROUP(T, type, 80, 40, "%40", "%41", "%42", "%43", "%44")  \
  LEGATO_WARPGROUP(T, type, 96, 48, "%48", "%49", "%50", "%51", "%52")  \
  LEGATO_WARPGROUP(T, type, 128, 64, "%64", "%65", "%66", "%67", "%68") \
  LEGATO_WARPGROUP(T, type, 160, 80, "%80", "%81", "%82", "%83", "%84") \
  LEGATO_WARPGROUP(T, type, 256, 128, "%128", "%129", "%130", "%131", "%132")
LEGATO_WARPGROUPS(f16, "f16")
LEGATO_WARPGROUPS(bf16, "bf16")

}  // namespace legato::cuda
