/* fuzz_h1_request.c - requests for the HTTP/1.1 parser, in one piece and in many (fuzz_h1.h). */
#include "tests/fuzz/fuzz_h1.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	return fuzz_h1(H1_REQUEST, bytes, n);
}
