/* h5checksums_loops.h — lookup3 of eight structures side by side, for each instruction set; see simd.h. */

/* Mix the next `blocks` blocks of 12 bytes of every lane. */
static void SIMD(h5_mix_lanes)(const uint8_t *const *at, size_t blocks, uint32_t *a, uint32_t *b, uint32_t *c)
{
#if SIMD_LEVEL == SIMD_BASELINE
    for (size_t block = 0; block < blocks; block++) {
        for (int i = 0; i < H5_LANES; i++) {
            a[i] += h5_word(at[i] + 12 * block);
            b[i] += h5_word(at[i] + 12 * block + 4);
            c[i] += h5_word(at[i] + 12 * block + 8);
        }
#define H5_MIX(x, y, z, bits) \
    for (int i = 0; i < H5_LANES; i++) x[i] = (x[i] - z[i]) ^ h5_rotate(z[i], bits), z[i] += y[i];
        H5_MIX(a, b, c, 4)
        H5_MIX(b, c, a, 6)
        H5_MIX(c, a, b, 8)
        H5_MIX(a, b, c, 16)
        H5_MIX(b, c, a, 19)
        H5_MIX(c, a, b, 4)
#undef H5_MIX
    }
#else
#if SIMD_LEVEL == SIMD_AVX512
#define H5_ROTATE(x, bits) _mm256_rol_epi32(x, bits)
#else
#define H5_ROTATE(x, bits) _mm256_or_si256(_mm256_slli_epi32(x, bits), _mm256_srli_epi32(x, 32 - bits))
#endif
#define H5_MIX(x, y, z, bits) \
    x = _mm256_xor_si256(_mm256_sub_epi32(x, z), H5_ROTATE(z, bits)), z = _mm256_add_epi32(z, y);
#define H5_MIX_BLOCK(first, second, third) \
    A = _mm256_add_epi32(A, first), B = _mm256_add_epi32(B, second), C = _mm256_add_epi32(C, third); \
    H5_MIX(A, B, C, 4) H5_MIX(B, C, A, 6) H5_MIX(C, A, B, 8) H5_MIX(A, B, C, 16) H5_MIX(B, C, A, 19) H5_MIX(C, A, B, 4)
    __m256i A = _mm256_loadu_si256((const __m256i *)a), B = _mm256_loadu_si256((const __m256i *)b);
    __m256i C = _mm256_loadu_si256((const __m256i *)c);
    size_t offset = 0, end = 12 * blocks;
    for (; end - offset >= 48; offset += 48) { /* the words of four blocks, lane by lane, become lanes word by word */
        __m256i words[12];
        for (int k = 0; k < 3; k++) {
            __m256i row[4];
            for (int i = 0; i < 4; i++)
                row[i] = _mm256_inserti128_si256(
                    _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(at[i] + offset + 16 * (size_t)k))),
                    _mm_loadu_si128((const __m128i *)(at[i + 4] + offset + 16 * (size_t)k)), 1);
            __m256i low = _mm256_unpacklo_epi32(row[0], row[1]), high = _mm256_unpackhi_epi32(row[0], row[1]);
            __m256i other_low = _mm256_unpacklo_epi32(row[2], row[3]);
            __m256i other_high = _mm256_unpackhi_epi32(row[2], row[3]);
            words[4 * k] = _mm256_unpacklo_epi64(low, other_low);
            words[4 * k + 1] = _mm256_unpackhi_epi64(low, other_low);
            words[4 * k + 2] = _mm256_unpacklo_epi64(high, other_high);
            words[4 * k + 3] = _mm256_unpackhi_epi64(high, other_high);
        }
        for (int block = 0; block < 4; block++) {
            H5_MIX_BLOCK(words[3 * block], words[3 * block + 1], words[3 * block + 2])
        }
    }
    for (; offset < end; offset += 12) {
        uint32_t words[3][H5_LANES];
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < H5_LANES; i++)
                words[k][i] = h5_word(at[i] + offset + 4 * k);
        H5_MIX_BLOCK(_mm256_loadu_si256((const __m256i *)words[0]), _mm256_loadu_si256((const __m256i *)words[1]),
                     _mm256_loadu_si256((const __m256i *)words[2]))
    }
    _mm256_storeu_si256((__m256i *)a, A);
    _mm256_storeu_si256((__m256i *)b, B);
    _mm256_storeu_si256((__m256i *)c, C);
#undef H5_MIX_BLOCK
#undef H5_MIX
#undef H5_ROTATE
#endif
}
