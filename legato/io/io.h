// Arrays in files: .npy and .npz of NumPy, .safetensors.
//
// Loading reads the whole file; what is truncated, corrupt or of an unknown kind is a ValueError
// that names the file. Saving evaluates the arrays; the file appears under its name whole or not at
// all.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "legato/array/array.h"
#include "legato/io/bytes.h"

namespace legato {

using NamedArrays = std::vector<std::pair<std::string, Array>>;
using Metadata = std::vector<std::pair<std::string, std::string>>;

/// One array in NumPy's format. bfloat16 is stored as 2-byte void, as ml_dtypes does.
LEGATO_API Array load_npy(const io::Source& source);
LEGATO_API void save_npy(io::Sink& sink, const Array& a);

/// A zip file of .npy files, names without that ending. Stored, or compressed by deflate.
LEGATO_API NamedArrays load_npz(const io::Source& source);
LEGATO_API void save_npz(io::Sink& sink, const NamedArrays& arrays, bool compress = false);

struct SafeTensors {
  NamedArrays arrays;
  Metadata metadata;
};
/// float8 tensors load as uint8.
LEGATO_API SafeTensors load_safetensors(const io::Source& source);
/// complex128 has no name in the format: ValueError.
LEGATO_API void save_safetensors(io::Sink& sink, const NamedArrays& arrays,
                                 const Metadata& metadata = {});

// The same by path.
LEGATO_API Array load_npy(const std::string& path);
LEGATO_API void save_npy(const std::string& path, const Array& a);
LEGATO_API NamedArrays load_npz(const std::string& path);
LEGATO_API void save_npz(const std::string& path, const NamedArrays& arrays, bool compress = false);
LEGATO_API SafeTensors load_safetensors(const std::string& path);
LEGATO_API void save_safetensors(const std::string& path, const NamedArrays& arrays,
                                 const Metadata& metadata = {});

}  // namespace legato
