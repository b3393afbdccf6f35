// The matrix products that CuPy asks cuBLAS for, as plain loops: double, float, float by TF32, and half; column-major as in
// BLAS. Sums are in double; a half result was a float before, as with cuBLAS's float sums. TF32 rounds each operand to 10 bits
// of mantissa, ties to even; a GPU may break ties otherwise, and adds up in float.
// What is not here answers CUBLAS_STATUS_NOT_SUPPORTED, which CuPy raises (cublas.py adds those names).
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

enum Status { SUCCESS = 0, NOT_SUPPORTED = 15 };
enum Type { FLOAT = 0, DOUBLE = 1, HALF = 2 };
enum Compute { COMPUTE_32F = 68, COMPUTE_32F_FAST_TF32 = 77 };
enum MathMode { TF32_TENSOR_OP_MATH = 3 };
struct Handle { int math_mode; };

extern "C" long products;
long products = 0;

// A product on a stream that is captured is kept, by its number, for the launches of the graph (device.py).
static void* stream;
static std::vector<std::function<int()>> kept;
extern "C" int (*is_captured)(void* stream, long product);
int (*is_captured)(void*, long);
extern "C" int make_product(long number) { return kept[number](); }
static int make_or_keep(std::function<int()> product) {
  if (!is_captured || !is_captured(stream, kept.size())) return product();
  kept.push_back(product);
  return 0;
}

// How elements are read and written: T as they lie in memory.
template <class Type>
struct Exact {
  typedef Type T;
  static double read(T x) { return x; }
  static T write(double x) { return (T)x; }
};
struct Half {
  typedef _Float16 T;
  static double read(T x) { return x; }
  static T write(double x) { return (T)(float)x; }
};
struct Tf32 {
  typedef float T;
  static double read(T x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    if ((bits >> 23 & 255) != 255) bits = (bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff;  // inf and nan stay
    std::memcpy(&x, &bits, 4);
    return x;
  }
  static T write(double x) { return (T)x; }
};

template <class R, class T = typename R::T>
static void gemm(int ta, int tb, int m, int n, int k, double alpha, const T* a, int lda, const T* b, int ldb, double beta, T* c,
                 int ldc) {
  for (int j = 0; j < n; j++)
    for (int i = 0; i < m; i++) {
      double sum = 0;
      for (int p = 0; p < k; p++) {
        T x = ta ? a[(int64_t)i * lda + p] : a[(int64_t)p * lda + i];
        T y = tb ? b[(int64_t)p * ldb + j] : b[(int64_t)j * ldb + p];
        sum += R::read(x) * R::read(y);
      }
      T& out = c[(int64_t)j * ldc + i];
      out = R::write(alpha * sum + (beta != 0 ? beta * out : 0));
    }
}

template <class R, class T = typename R::T>
static int strided(int ta, int tb, int m, int n, int k, double alpha, const T* a, int lda, int64_t sa, const T* b, int ldb,
                   int64_t sb, double beta, T* c, int ldc, int64_t sc, int count) {
  products++;
  for (int i = 0; i < count; i++) gemm<R>(ta, tb, m, n, k, alpha, a + i * sa, lda, b + i * sb, ldb, beta, c + i * sc, ldc);
  return SUCCESS;
}

template <class R, class T = typename R::T>
static int pointers(int ta, int tb, int m, int n, int k, double alpha, const T** a, int lda, const T** b, int ldb, double beta,
                    T** c, int ldc, int count) {
  products++;
  for (int i = 0; i < count; i++) gemm<R>(ta, tb, m, n, k, alpha, a[i], lda, b[i], ldb, beta, c[i], ldc);
  return SUCCESS;
}

template <class T>
static int dot(int n, const T* x, int dx, const T* y, int dy, T* out) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)x[i * dx] * y[i * dy];
  products++;
  *out = (T)sum;
  return SUCCESS;
}

template <class T>
static int gemv(int trans, int m, int n, T alpha, const T* a, int lda, const T* x, int dx, T beta, T* y, int dy) {
  int rows = trans ? n : m, columns = trans ? m : n;
  for (int64_t i = 0; i < rows; i++) {
    double sum = 0;
    for (int64_t j = 0; j < columns; j++) sum += (double)(trans ? a[i * lda + j] : a[j * lda + i]) * x[j * dx];
    y[i * dy] = (T)(alpha * sum + (beta != 0 ? beta * y[i * dy] : 0));
  }
  products++;
  return SUCCESS;
}

extern "C" {
int cublasCreate_v2(Handle** handle) { *handle = new Handle{0}; return SUCCESS; }
int cublasDestroy_v2(Handle* handle) { delete handle; return SUCCESS; }
int cublasSetStream_v2(void*, void* s) { stream = s; return SUCCESS; }
int cublasGetStream_v2(void*, void** stream) { *stream = nullptr; return SUCCESS; }
int cublasSetMathMode(Handle* handle, int mode) { handle->math_mode = mode; return SUCCESS; }
int cublasGetMathMode(Handle* handle, int* mode) { *mode = handle->math_mode; return SUCCESS; }
int cublasSetPointerMode_v2(void*, int) { return SUCCESS; }
int cublasGetPointerMode_v2(void*, int* mode) { *mode = 0; return SUCCESS; }
int cublasGetVersion_v2(void*, int* version) { *version = 120900; return SUCCESS; }

#define OF_TYPE(L, T, STRIDED, POINTERS)                                                                                     \
  int cublas##L##gemm_v2(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha, const T* a, int lda, const T* b,    \
                         int ldb, const T* beta, T* c, int ldc) {                                                            \
    return STRIDED(ta, tb, m, n, k, *alpha, a, lda, 0, b, ldb, 0, *beta, c, ldc, 0, 1);                                      \
  }                                                                                                                          \
  int cublas##L##gemmStridedBatched(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha, const T* a, int lda,     \
                                    long long sa, const T* b, int ldb, long long sb, const T* beta, T* c, int ldc,           \
                                    long long sc, int count) {                                                               \
    return STRIDED(ta, tb, m, n, k, *alpha, a, lda, sa, b, ldb, sb, *beta, c, ldc, sc, count);                               \
  }                                                                                                                          \
  int cublas##L##gemmBatched(Handle* h, int ta, int tb, int m, int n, int k, const T* alpha, const T** a, int lda,           \
                             const T** b, int ldb, const T* beta, T** c, int ldc, int count) {                               \
    return POINTERS(ta, tb, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc, count);                                          \
  }                                                                                                                          \
  int cublas##L##gemv_v2(void*, int trans, int m, int n, const T* alpha, const T* a, int lda, const T* x, int dx,            \
                         const T* beta, T* y, int dy) {                                                                      \
    return gemv<T>(trans, m, n, *alpha, a, lda, x, dx, *beta, y, dy);                                                        \
  }                                                                                                                          \
  int cublas##L##dot_v2(void*, int n, const T* x, int dx, const T* y, int dy, T* out) { return dot<T>(n, x, dx, y, dy, out); }
OF_TYPE(S, float, (h->math_mode == TF32_TENSOR_OP_MATH ? strided<Tf32> : strided<Exact<float>>),
        (h->math_mode == TF32_TENSOR_OP_MATH ? pointers<Tf32> : pointers<Exact<float>>))
OF_TYPE(D, double, strided<Exact<double>>, pointers<Exact<double>>)

#define BY_TYPE(CALL, A, B, C)                                                                                               \
  if (at != ct || bt != ct) return NOT_SUPPORTED;                                                                            \
  bool tf32 = compute == COMPUTE_32F_FAST_TF32 || h->math_mode == TF32_TENSOR_OP_MATH;                                       \
  double x = ct == DOUBLE ? *(double*)alpha : *(float*)alpha, y = ct == DOUBLE ? *(double*)beta : *(float*)beta;             \
  if (ct == FLOAT && tf32) return CALL(Tf32, float A, float B, float C);                                                     \
  if (ct == FLOAT) return CALL(Exact<float>, float A, float B, float C);                                                     \
  if (ct == DOUBLE) return CALL(Exact<double>, double A, double B, double C);                                                \
  if (ct == HALF && compute == COMPUTE_32F) return CALL(Half, _Float16 A, _Float16 B, _Float16 C);                           \
  return NOT_SUPPORTED;
#define STRIDED(R, A, B, C)                                                                                                  \
  make_or_keep([=] { return strided<R>(ta, tb, m, n, k, x, (A)a, lda, sa, (B)b, ldb, sb, y, (C)c, ldc, sc, count); })
#define POINTERS(R, A, B, C) pointers<R>(ta, tb, m, n, k, x, (A)a, lda, (B)b, ldb, y, (C)c, ldc, count)

int cublasGemmStridedBatchedEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at,
                               int lda, long long sa, const void* b, int bt, int ldb, long long sb, const void* beta, void* c,
                               int ct, int ldc, long long sc, int count, int compute, int) {
  BY_TYPE(STRIDED, *, *, *)
}
int cublasGemmBatchedEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* const* a, int at,
                        int lda, const void* const* b, int bt, int ldb, const void* beta, void* const* c, int ct, int ldc,
                        int count, int compute, int) {
  BY_TYPE(POINTERS, const**, const**, **)
}
int cublasGemmEx(Handle* h, int ta, int tb, int m, int n, int k, const void* alpha, const void* a, int at, int lda,
                 const void* b, int bt, int ldb, const void* beta, void* c, int ct, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, at, lda, 0, b, bt, ldb, 0, beta, c, ct, ldc, 0, 1, compute,
                                    algorithm);
}
int cublasSgemmEx(Handle* h, int ta, int tb, int m, int n, int k, const float* alpha, const void* a, int at, int lda,
                  const void* b, int bt, int ldb, const float* beta, void* c, int ct, int ldc) {
  return cublasGemmEx(h, ta, tb, m, n, k, alpha, a, at, lda, b, bt, ldb, beta, c, ct, ldc, COMPUTE_32F, 0);
}
}
