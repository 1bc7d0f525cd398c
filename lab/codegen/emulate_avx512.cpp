// Runs the AVX-512 code of every function, cast and chain on a machine without AVX-512: objdump
// reads the code, this program carries out its text, and the results are compared with the tile
// interpreter's. It knows the instructions that the emitter uses and no others.
//
// It checks which instructions the emitter chooses and with which operands, not what a processor
// makes of them: that is written here a second time.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "legato/backends/cpu/jit/variants.h"
#include "tests/cpp/lane_cases.h"

namespace {

using namespace legato;
using namespace legato::lane_cases;

struct Zmm {
  alignas(64) unsigned char b[64] = {};
  template <class T>
  T get(int i) const {
    T v;
    std::memcpy(&v, b + i * static_cast<int>(sizeof(T)), sizeof v);
    return v;
  }
  template <class T>
  void set(int i, T v) {
    std::memcpy(b + i * static_cast<int>(sizeof(T)), &v, sizeof v);
  }
};

struct Arg {
  enum Kind { vector, mask, general, memory, immediate } kind = immediate;
  int id = 0, bytes = 0;  // of a register
  int masked_by = -1;
  bool zeroing = false;
  int broadcast = 0;  // bytes of the element
  int base = -1, index = -1, scale = 1;
  int64_t value = 0;  // displacement or number
  bool absolute = false;
};
struct Line {
  uint64_t address;
  std::string name;
  std::vector<Arg> args;
};

[[noreturn]] void fail(const std::string& what) {
  std::printf("cannot emulate: %s\n", what.c_str());
  std::exit(2);
}

const char* kGp64[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                       "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
const char* kGp32[] = {"eax", "ecx", "edx",  "ebx",  "esp",  "ebp",  "esi",  "edi",
                       "r8d", "r9d", "r10d", "r11d", "r12d", "r13d", "r14d", "r15d"};

int general_register(const std::string& s, int* bytes) {
  for (int i = 0; i < 16; ++i) {
    if (s == kGp64[i]) return *bytes = 8, i;
    if (s == kGp32[i]) return *bytes = 4, i;
  }
  return -1;
}

Arg parse_argument(std::string s, uint64_t absolute) {
  Arg a;
  for (size_t brace; (brace = s.find('{')) != std::string::npos;) {
    std::string in = s.substr(brace + 1, s.find('}') - brace - 1);
    if (in == "z")
      a.zeroing = true;
    else if (in[0] == 'k')
      a.masked_by = in[1] - '0';
    else if (in == "1to16")
      a.broadcast = 4;
    else if (in == "1to8")
      a.broadcast = 8;
    s.erase(brace, s.find('}') - brace + 1);
  }
  if (size_t open = s.find('['); open != std::string::npos) {
    a.kind = Arg::memory;
    if (s.find("DWORD BCST") == 0) a.broadcast = 4;
    if (s.find("QWORD BCST") == 0) a.broadcast = 8;
    a.bytes = s.find("BYTE") == 0    ? 1
              : s.find("WORD") == 0  ? 2
              : s.find("DWORD") == 0 ? 4
              : s.find("QWORD") == 0 ? 8
                                     : 64;
    std::string in = s.substr(open + 1, s.find(']') - open - 1);
    if (in.find("rip") != std::string::npos) {
      a.absolute = true;
      a.value = static_cast<int64_t>(absolute);
      return a;
    }
    for (size_t at = 0; at < in.size();) {
      size_t end = in.find_first_of("+-", at + 1);
      if (end == std::string::npos) end = in.size();
      std::string term = in.substr(at, end - at);
      at = end;
      const bool minus = term[0] == '-';
      if (term[0] == '+' || minus) term.erase(0, 1);
      int bytes;
      if (size_t star = term.find('*'); star != std::string::npos) {
        a.index = general_register(term.substr(0, star), &bytes);
        a.scale = std::atoi(term.c_str() + star + 1);
      } else if (int r = general_register(term, &bytes); r >= 0) {
        (a.base < 0 ? a.base : a.index) = r;
      } else {
        int64_t d = static_cast<int64_t>(std::strtoull(term.c_str(), nullptr, 16));
        a.value = minus ? -d : d;
      }
    }
    return a;
  }
  if (s.size() > 3 && s.substr(1, 2) == "mm") {
    a.kind = Arg::vector;
    a.bytes = s[0] == 'z' ? 64 : s[0] == 'y' ? 32 : 16;
    a.id = std::atoi(s.c_str() + 3);
  } else if (s[0] == 'k' && s.size() == 2) {
    a.kind = Arg::mask;
    a.id = s[1] - '0';
  } else if ((a.id = general_register(s, &a.bytes)) >= 0) {
    a.kind = Arg::general;
  } else {
    a.value = static_cast<int64_t>(std::strtoull(s.c_str(), nullptr, 16));
  }
  return a;
}

std::vector<Line> disassemble(const cpu::jit::Code& code) {
  const std::string file = "/tmp/legato_emulate_" + std::to_string(getpid()) + ".bin";
  std::FILE* f = std::fopen(file.c_str(), "wb");
  std::fwrite(code.memory.address(), 1, static_cast<size_t>(code.bytes), f);
  std::fclose(f);
  char command[300];
  std::snprintf(command, sizeof command,
                "objdump -D -b binary -m i386:x86-64 -M intel --no-show-raw-insn "
                "--adjust-vma=%p %s",
                code.memory.address(), file.c_str());
  std::vector<Line> lines;
  f = popen(command, "r");
  char text[600];
  while (std::fgets(text, sizeof text, f)) {
    char* tab = std::strchr(text, '\t');
    char* colon = std::strchr(text, ':');
    if (!tab || !colon || colon > tab) continue;
    Line l;
    l.address = std::strtoull(text, nullptr, 16);
    std::string s = tab + 1;
    uint64_t absolute = 0;
    if (size_t hash = s.find('#'); hash != std::string::npos) {
      absolute = std::strtoull(s.c_str() + hash + 1, nullptr, 16);
      s.resize(hash);
    }
    while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.pop_back();
    size_t space = s.find(' ');
    l.name = s.substr(0, space);
    if (space != std::string::npos) {
      std::string rest = s.substr(s.find_first_not_of(' ', space));
      for (size_t at = 0; at <= rest.size();) {
        size_t comma = rest.find(',', at);
        if (comma == std::string::npos) comma = rest.size();
        l.args.push_back(parse_argument(rest.substr(at, comma - at), absolute));
        at = comma + 1;
      }
    }
    lines.push_back(std::move(l));
  }
  pclose(f);
  std::remove(file.c_str());
  return lines;
}

class Machine {
 public:
  explicit Machine(const cpu::jit::Code& code) : lines_(disassemble(code)) {
    for (size_t i = 0; i < lines_.size(); ++i) at_[lines_[i].address] = i;
    start_ = reinterpret_cast<uint64_t>(code.memory.address());
  }
  void run(const cpu::jit::Block* blocks, const fuse::LiteralValue* literals) {
    static std::vector<char> stack(1 << 20);
    for (auto& r : z_)
      for (int i = 0; i < 16; ++i) r.set<uint32_t>(i, 0x7fc0dead);
    gp_[4] = (reinterpret_cast<uint64_t>(stack.data()) + stack.size() - 256) & ~uint64_t{63};
    gp_[4] -= 8;
    gp_[7] = reinterpret_cast<uint64_t>(blocks);
    gp_[6] = reinterpret_cast<uint64_t>(literals);
    uint64_t bottom = gp_[4];
    for (size_t pc = at_.at(start_);;) {
      const Line& l = lines_[pc];
      if (l.name == "ret") break;
      ++pc;
      if (l.name[0] == 'j') {
        if (taken(l.name)) pc = at_.at(static_cast<uint64_t>(l.args[0].value));
      } else {
        step(l);
      }
    }
    if (gp_[4] != bottom) fail("the stack is not as it was");
  }

 private:
  bool taken(const std::string& n) const {
    if (n == "jmp") return true;
    if (n == "jl") return left_ < right_;
    if (n == "jle") return left_ <= right_;
    if (n == "jge") return left_ >= right_;
    if (n == "je") return left_ == right_;
    if (n == "jne") return left_ != right_;
    fail(n);
  }
  uint64_t address(const Arg& a) const {
    if (a.absolute) return static_cast<uint64_t>(a.value);
    uint64_t r = static_cast<uint64_t>(a.value);
    if (a.base >= 0) r += gp_[a.base];
    if (a.index >= 0) r += gp_[a.index] * static_cast<uint64_t>(a.scale);
    return r;
  }
  int64_t integer(const Arg& a) const {
    if (a.kind == Arg::general)
      return a.bytes == 4 ? static_cast<int32_t>(gp_[a.id]) : static_cast<int64_t>(gp_[a.id]);
    if (a.kind == Arg::memory) {
      uint64_t v = 0;
      std::memcpy(&v, reinterpret_cast<void*>(address(a)), static_cast<size_t>(a.bytes));
      return static_cast<int64_t>(v);
    }
    return a.value;
  }
  void set(const Arg& a, uint64_t v) {
    if (a.kind == Arg::memory)
      std::memcpy(reinterpret_cast<void*>(address(a)), &v, 8);
    else
      gp_[a.id] = a.bytes == 4 ? static_cast<uint32_t>(v) : v;
  }
  /// `bytes` of a register or of memory.
  Zmm read(const Arg& a, int bytes) const {
    Zmm r;
    if (a.kind == Arg::vector) {
      r = z_[a.id];
      std::memset(r.b + bytes, 0, static_cast<size_t>(64 - bytes));
    } else if (a.broadcast) {
      for (int i = 0; i < bytes; i += a.broadcast)
        std::memcpy(r.b + i, reinterpret_cast<void*>(address(a)), static_cast<size_t>(a.broadcast));
    } else {
      std::memcpy(r.b, reinterpret_cast<void*>(address(a)), static_cast<size_t>(bytes));
    }
    return r;
  }
  void write(const Arg& a, const Zmm& v, int bytes) {
    if (a.kind == Arg::vector) {
      z_[a.id] = v;
      std::memset(z_[a.id].b + bytes, 0, static_cast<size_t>(64 - bytes));
    } else {
      std::memcpy(reinterpret_cast<void*>(address(a)), v.b, static_cast<size_t>(bytes));
    }
  }

  template <class T, class F>
  void lanes(const Line& l, F f) {  // of up to three sources; a single-source op ignores the rest
    const int bytes = l.args[0].bytes;
    const size_t n = l.args.size();
    Zmm x = read(l.args[1], bytes), y, d = z_[l.args[0].id];
    if (n > 2 && l.args[2].kind != Arg::immediate) y = read(l.args[2], bytes);
    Zmm r;
    for (int i = 0; i < bytes / static_cast<int>(sizeof(T)); ++i)
      r.set<T>(i, f(x.get<T>(i), y.get<T>(i), d.get<T>(i)));
    write(l.args[0], r, bytes);
  }
  template <class T, class F>
  void compare(const Line& l, F f) {
    const Zmm x = read(l.args[1], 64), y = read(l.args[2], 64);
    uint32_t m = 0;
    for (int i = 0; i < 64 / static_cast<int>(sizeof(T)); ++i)
      m |= static_cast<uint32_t>(f(x.get<T>(i), y.get<T>(i))) << i;
    k_[l.args[0].id] = m;
  }
  template <class T, class S, class F>
  void convert(const Line& l, F f) {  // lanes of S to lanes of T
    const Arg &to = l.args[0], &from = l.args[1];
    int n;  // lanes: by the register that is wider in memory too
    if (to.kind == Arg::vector)
      n = sizeof(T) >= sizeof(S) ? to.bytes / static_cast<int>(sizeof(T))
                                 : from.bytes / static_cast<int>(sizeof(S));
    else
      n = from.bytes / static_cast<int>(sizeof(S));
    const Zmm x = read(from, n * static_cast<int>(sizeof(S)));
    Zmm r;
    for (int i = 0; i < n; ++i) r.set<T>(i, f(x.get<S>(i)));
    if (to.kind == Arg::memory) return write(to, r, n * static_cast<int>(sizeof(T)));
    write(to, r, std::max(16, n * static_cast<int>(sizeof(T))));
  }
  template <class T, class F>
  void masked(const Line& l, F source) {  // merging or zeroing by lanes of T
    const Arg& to = l.args[0];
    Zmm r = to.zeroing ? Zmm() : z_[to.id];
    for (int i = 0; i < to.bytes / static_cast<int>(sizeof(T)); ++i)
      if (to.masked_by < 0 || (k_[to.masked_by] >> i & 1)) r.set<T>(i, source(i));
    write(to, r, to.bytes);
  }

  void step(const Line& l) {
    const std::string& n = l.name;
    const auto& a = l.args;
    auto is = [&](const char* s) { return n == s; };
    // --- general
    if (is("nop") || is("vzeroupper") || is("sfence") || n.find("nop") != std::string::npos ||
        is("data16") || is("cs"))
      return;
    if (is("push")) return push(static_cast<uint64_t>(integer(a[0])));
    if (is("pop")) {
      std::memcpy(&gp_[a[0].id], reinterpret_cast<void*>(gp_[4]), 8);
      gp_[4] += 8;
      return;
    }
    if (is("mov") || is("movabs")) return set(a[0], static_cast<uint64_t>(integer(a[1])));
    if (is("movzx")) return set(a[0], static_cast<uint64_t>(integer(a[1])));
    if (is("lea")) return set(a[0], address(a[1]));
    if (is("add")) return set(a[0], static_cast<uint64_t>(integer(a[0]) + integer(a[1])));
    if (is("and")) return set(a[0], static_cast<uint64_t>(integer(a[0]) & integer(a[1])));
    if (is("neg")) return set(a[0], static_cast<uint64_t>(-integer(a[0])));
    if (is("xor")) return set(a[0], static_cast<uint64_t>(integer(a[0]) ^ integer(a[1])));
    if (is("sub")) {
      left_ = integer(a[0]);
      right_ = integer(a[1]);
      return set(a[0], static_cast<uint64_t>(left_ - right_));
    }
    if (is("cmp")) {
      left_ = integer(a[0]);
      right_ = integer(a[1]);
      return;
    }
    if (is("test")) {
      left_ = integer(a[0]) & integer(a[1]);
      right_ = 0;
      return;
    }
    if (is("call")) {
      if (gp_[4] % 16 != 0) fail("a call with an unaligned stack");
      using Any = void (*)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
      reinterpret_cast<Any>(gp_[0])(gp_[7], gp_[6], gp_[2], gp_[1], gp_[8]);
      for (int r : {0, 1, 2, 6, 7, 8, 9, 10, 11}) gp_[r] = 0xdeadbeefdeadbeef;
      for (auto& r : z_)
        for (int i = 0; i < 16; ++i) r.set<uint32_t>(i, 0x7fc0dead);
      for (auto& k : k_) k = 0x5a5a;
      return;
    }
    // --- masks
    if (is("kmovw")) {
      if (a[0].kind == Arg::mask && a[1].kind == Arg::mask)
        k_[a[0].id] = k_[a[1].id];
      else if (a[0].kind == Arg::mask)
        k_[a[0].id] = static_cast<uint16_t>(integer(a[1]));
      else if (a[0].kind == Arg::general)
        gp_[a[0].id] = k_[a[1].id];
      else
        std::memcpy(reinterpret_cast<void*>(address(a[0])), &k_[a[1].id], 2);
      return;
    }
    auto mask_of = [&](uint32_t v) { k_[a[0].id] = v & 0xffff; };
    if (is("kandw")) return mask_of(k_[a[1].id] & k_[a[2].id]);
    if (is("korw")) return mask_of(k_[a[1].id] | k_[a[2].id]);
    if (is("kxorw")) return mask_of(k_[a[1].id] ^ k_[a[2].id]);
    if (is("kxnorw")) return mask_of(~(k_[a[1].id] ^ k_[a[2].id]));
    if (is("knotw")) return mask_of(~k_[a[1].id]);
    if (is("kshiftrw")) return mask_of(k_[a[1].id] >> a[2].value);
    if (is("kunpckbw")) return mask_of((k_[a[1].id] & 0xff) << 8 | (k_[a[2].id] & 0xff));
    // --- moves
    if (is("vmovups") || is("vmovaps") || is("vmovntps")) {
      const int bytes = a[0].kind == Arg::vector ? a[0].bytes : a[1].bytes;
      for (const Arg& x : a)
        if (!is("vmovups") && x.kind == Arg::memory && address(x) % static_cast<uint64_t>(bytes))
          fail("an unaligned " + n);
      return write(a[0], read(a[1], bytes), bytes);
    }
    if (is("vbroadcastss") || is("vpbroadcastd")) {
      const uint32_t v = read(a[1], 4).get<uint32_t>(0);
      return masked<uint32_t>(l, [&](int) { return v; });
    }
    if (is("vbroadcastsd")) {
      const uint64_t v = read(a[1], 8).get<uint64_t>(0);
      return masked<uint64_t>(l, [&](int) { return v; });
    }
    if (is("vpbroadcastw")) {
      const uint16_t v = read(a[1], 2).get<uint16_t>(0);
      return masked<uint16_t>(l, [&](int) { return v; });
    }
    if (is("vpbroadcastb")) {
      const uint8_t v = read(a[1], 1).get<uint8_t>(0);
      return masked<uint8_t>(l, [&](int) { return v; });
    }
    if (is("vmovdqu8")) {
      const Zmm x = read(a[1], a[0].bytes);
      return masked<uint8_t>(l, [&](int i) { return x.get<uint8_t>(i); });
    }
    if (is("vmovdqa32")) {
      const Zmm x = read(a[1], a[0].bytes);
      return masked<uint32_t>(l, [&](int i) { return x.get<uint32_t>(i); });
    }
    if (is("vblendmps") || is("vblendmpd")) {
      const Zmm no = read(a[1], 64), yes = read(a[2], 64);
      Zmm r;
      const int size = is("vblendmps") ? 4 : 8;
      for (int i = 0; i < 64 / size; ++i)
        std::memcpy(r.b + i * size, ((k_[a[0].masked_by] >> i & 1) ? yes : no).b + i * size,
                    static_cast<size_t>(size));
      return write(a[0], r, 64);
    }
    if (is("vextracti32x8")) {
      Zmm r;
      std::memcpy(r.b, z_[a[1].id].b + 32 * a[2].value, 32);
      return write(a[0], r, 32);
    }
    if (is("vinserti32x8")) {
      Zmm r = read(a[1], 64), part = read(a[2], 32);
      std::memcpy(r.b + 32 * a[3].value, part.b, 32);
      return write(a[0], r, 64);
    }
    if (floating<float>(l, n, "ps") || floating<double>(l, n, "pd")) return;
    if (integers<int32_t, uint32_t>(l, n, "d") || integers<int64_t, uint64_t>(l, n, "q")) return;
    // --- conversions
    if (is("vpmovzxbd")) return convert<uint32_t, uint8_t>(l, [](uint8_t v) { return v; });
    if (is("vpmovsxbd")) return convert<int32_t, int8_t>(l, [](int8_t v) { return v; });
    if (is("vpmovzxwd")) return convert<uint32_t, uint16_t>(l, [](uint16_t v) { return v; });
    if (is("vpmovsxwd")) return convert<int32_t, int16_t>(l, [](int16_t v) { return v; });
    if (is("vpmovzxdq")) return convert<uint64_t, uint32_t>(l, [](uint32_t v) { return v; });
    if (is("vpmovsxdq")) return convert<int64_t, int32_t>(l, [](int32_t v) { return v; });
    if (is("vpmovdb"))
      return convert<uint8_t, uint32_t>(l, [](uint32_t v) { return static_cast<uint8_t>(v); });
    if (is("vpmovdw"))
      return convert<uint16_t, uint32_t>(l, [](uint32_t v) { return static_cast<uint16_t>(v); });
    if (is("vpmovqd"))
      return convert<uint32_t, uint64_t>(l, [](uint64_t v) { return static_cast<uint32_t>(v); });
    if (is("vcvtdq2ps"))
      return convert<float, int32_t>(l, [](int32_t v) { return static_cast<float>(v); });
    if (is("vcvtdq2pd"))
      return convert<double, int32_t>(l, [](int32_t v) { return static_cast<double>(v); });
    if (is("vcvtps2pd"))
      return convert<double, float>(l, [](float v) { return static_cast<double>(v); });
    if (is("vcvtpd2ps"))
      return convert<float, double>(l, [](double v) { return static_cast<float>(v); });
    if (is("vcvtudq2ps"))
      return convert<float, uint32_t>(l, [](uint32_t v) { return static_cast<float>(v); });
    if (is("vcvtudq2pd"))
      return convert<double, uint32_t>(l, [](uint32_t v) { return static_cast<double>(v); });
    if (is("vcvtqq2pd"))
      return convert<double, int64_t>(l, [](int64_t v) { return static_cast<double>(v); });
    if (is("vcvtuqq2pd"))
      return convert<double, uint64_t>(l, [](uint64_t v) { return static_cast<double>(v); });
    if (is("vcvtqq2ps"))
      return convert<float, int64_t>(l, [](int64_t v) { return static_cast<float>(v); });
    if (is("vcvtuqq2ps"))
      return convert<float, uint64_t>(l, [](uint64_t v) { return static_cast<float>(v); });
    if (is("vcvttpd2dq"))
      return convert<int32_t, double>(l, [](double v) {
        return v > -0x1.00000002p31 && v < 0x1p31 ? static_cast<int32_t>(v) : INT32_MIN;
      });
    if (is("vcvttps2dq"))
      return convert<int32_t, float>(l, [](float v) {
        return v >= -0x1p31f && v < 0x1p31f ? static_cast<int32_t>(v) : INT32_MIN;
      });
    if (is("vcvtph2ps"))
      return convert<float, uint16_t>(l, [](uint16_t v) {
        float16_t h;
        h.bits = v;
        return static_cast<float>(h);
      });
    if (is("vcvtps2ph"))
      return convert<uint16_t, float>(l, [](float v) { return float16_t(v).bits; });
    fail(n);
  }

  template <class T>
  bool floating(const Line& l, const std::string& n, const char* suffix) {
    if (n.size() < 4 || n.compare(n.size() - 2, 2, suffix) != 0) return false;
    const std::string s = n.substr(1, n.size() - 3);
    if (s == "add")
      lanes<T>(l, [](T x, T y, T) { return x + y; });
    else if (s == "sub")
      lanes<T>(l, [](T x, T y, T) { return x - y; });
    else if (s == "mul")
      lanes<T>(l, [](T x, T y, T) { return x * y; });
    else if (s == "div")
      lanes<T>(l, [](T x, T y, T) { return x / y; });
    else if (s == "min")
      lanes<T>(l, [](T x, T y, T) { return x < y ? x : y; });
    else if (s == "max")
      lanes<T>(l, [](T x, T y, T) { return x > y ? x : y; });
    else if (s == "sqrt")
      lanes<T>(l, [](T x, T, T) { return std::sqrt(x); });
    else if (s == "fmadd132")
      lanes<T>(l, [](T y, T z, T x) { return std::fma(x, z, y); });
    else if (s == "fmadd213")
      lanes<T>(l, [](T y, T z, T x) { return std::fma(y, x, z); });
    else if (s == "fmadd231")
      lanes<T>(l, [](T y, T z, T x) { return std::fma(y, z, x); });
    else if (s == "rndscale") {
      const int mode = static_cast<int>(l.args[2].value) & 7;
      lanes<T>(l, [mode](T x, T, T) {
        return mode == 0   ? std::nearbyint(x)
               : mode == 1 ? std::floor(x)
               : mode == 2 ? std::ceil(x)
                           : std::trunc(x);
      });
    } else if (s == "xor") {
      using U = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
      lanes<U>(l, [](U x, U y, U) { return x ^ y; });
    } else if (s == "cmpeq")
      compare<T>(l, [](T x, T y) { return x == y; });
    else if (s == "cmpneq")
      compare<T>(l, [](T x, T y) { return x != y; });
    else if (s == "cmplt_oq")
      compare<T>(l, [](T x, T y) { return x < y; });
    else if (s == "cmple_oq")
      compare<T>(l, [](T x, T y) { return x <= y; });
    else if (s == "cmpunord")
      compare<T>(l, [](T x, T y) { return x != x || y != y; });
    else
      return false;
    return true;
  }
  template <class I, class U>
  bool integers(const Line& l, const std::string& n, const char* suffix) {
    if (n.size() < 5 || n.compare(0, 2, "vp") != 0 || n.compare(n.size() - 1, 1, suffix) != 0)
      return false;
    const std::string s = n.substr(2, n.size() - 3);
    const int count = l.args.size() > 2 ? static_cast<int>(l.args[2].value) : 0;
    if (s == "add")
      lanes<U>(l, [](U x, U y, U) { return x + y; });
    else if (s == "sub")
      lanes<U>(l, [](U x, U y, U) { return x - y; });
    else if (s == "mull")
      lanes<U>(l, [](U x, U y, U) { return x * y; });
    else if (s == "and")
      lanes<U>(l, [](U x, U y, U) { return x & y; });
    else if (s == "or")
      lanes<U>(l, [](U x, U y, U) { return x | y; });
    else if (s == "xor")
      lanes<U>(l, [](U x, U y, U) { return x ^ y; });
    else if (s == "mins")
      lanes<I>(l, [](I x, I y, I) { return x < y ? x : y; });
    else if (s == "maxs")
      lanes<I>(l, [](I x, I y, I) { return x > y ? x : y; });
    else if (s == "minu")
      lanes<U>(l, [](U x, U y, U) { return x < y ? x : y; });
    else if (s == "maxu")
      lanes<U>(l, [](U x, U y, U) { return x > y ? x : y; });
    else if (s == "sll")
      lanes<U>(l, [count](U x, U, U) { return x << count; });
    else if (s == "srl")
      lanes<U>(l, [count](U x, U, U) { return x >> count; });
    else if (s == "sllv")
      lanes<U>(l, [](U x, U n, U) { return x << n; });
    else if (s == "srlv")
      lanes<U>(l, [](U x, U n, U) { return x >> n; });
    else if (s == "srav")
      lanes<I>(l, [](I x, I n, I) { return x >> n; });
    else if (s == "sra")
      lanes<I>(l, [count](I x, I, I) { return x >> count; });
    else if (s == "cmpeq")
      compare<U>(l, [](U x, U y) { return x == y; });
    else if (s == "cmpneq" || s == "cmpnequ")
      compare<U>(l, [](U x, U y) { return x != y; });
    else if (s == "cmpequ")
      compare<U>(l, [](U x, U y) { return x == y; });
    else if (s == "cmplt")
      compare<I>(l, [](I x, I y) { return x < y; });
    else if (s == "cmpltu")
      compare<U>(l, [](U x, U y) { return x < y; });
    else if (s == "testm")
      compare<U>(l, [](U x, U y) { return (x & y) != 0; });
    else
      return false;
    return true;
  }
  void push(uint64_t v) {
    gp_[4] -= 8;
    std::memcpy(reinterpret_cast<void*>(gp_[4]), &v, 8);
  }

  std::vector<Line> lines_;
  std::map<uint64_t, size_t> at_;
  uint64_t start_ = 0;
  uint64_t gp_[16] = {};
  Zmm z_[32];
  uint32_t k_[8] = {};
  int64_t left_ = 0, right_ = 0;
};

int wrong = 0, done = 0;

void check(const fuse::Program& p, const std::vector<uint64_t>& literals) {
  const auto lanes = fuse::lower(p);
  for (uint32_t scalars : {0u, 1u}) {
    const size_t n = 96;
    Operands in = random_operands(p, n, 61);
    if (scalars) {  // as the interpreter sees it: the same element everywhere
      const size_t size = static_cast<size_t>(size_of(in[0].dtype));
      for (size_t i = 1; i < n; ++i)
        std::memcpy(in[0].data.data() + i * size, in[0].data.data(), size);
    }
    auto expected = interpreted(p, in, literals, n);
    cpu::jit::Variant v;
    v.scalars = scalars;
    auto code = cpu::jit::compile(*lanes, v, SimdLevel::avx512);
    if (!code) fail("a program that was not assembled");
    cpu::jit::Block block = {};
    for (size_t i = 0; i < in.size(); ++i) block.in[i] = in[i].data.data();
    std::vector<std::vector<char>> out;
    for (const auto& e : expected) out.emplace_back(e.size());
    for (size_t o = 0; o < out.size(); ++o) block.out[o] = out[o].data();
    block.n = static_cast<int64_t>(n) - 16;  // both loops run where there are two
    Machine(*code).run(&block, literal_values(literals).data());
    block.n = 16;
    for (size_t i = 0; i < in.size(); ++i)
      if (!(scalars >> i & 1))
        block.in[i] = in[i].data.data() + (n - 16) * static_cast<size_t>(size_of(in[i].dtype));
    for (size_t o = 0; o < out.size(); ++o)
      block.out[o] = out[o].data() + (n - 16) * (out[o].size() / n);
    Machine(*code).run(&block, literal_values(literals).data());
    ++done;
    for (size_t o = 0; o < out.size(); ++o) {
      const size_t at = first_difference(p.dtype_of_value(p.outputs[o]), out[o], expected[o]);
      if (at == n) continue;
      ++wrong;
      std::printf("element %zu of output %zu differs, scalars %u:\n%s", at, o, scalars,
                  p.to_string().c_str());
      break;
    }
  }
}

}  // namespace

int main() {
  for_each_function([](const fuse::Program& p) { check(p, {}); });
  for (Dtype from : kRealDtypes) {
    for (Dtype to : kRealDtypes) {
      fuse::Program p;
      p.inputs = {from};
      p.instrs = {instr("cast", compute_dtype(from), to, {0})};
      p.outputs = {1};
      check(p, {});
    }
  }
  for_each_chain(check);
  for_each_random_program(300, check);
  std::printf("%d programs, %d wrong\n", done, wrong);
  return wrong != 0;
}
