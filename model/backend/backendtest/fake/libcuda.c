// NVIDIA's driver without NVIDIA: its GPUs are the names in FAKE_GPUS, separated by
// commas, the CUDA version is FAKE_CUDA, and cuInit returns FAKE_STATUS.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number(const char *variable, int otherwise) {
	const char *text = getenv(variable);
	return text ? atoi(text) : otherwise;
}

static const char *gpus(void) {
	const char *names = getenv("FAKE_GPUS");
	return names ? names : "";
}

int cuInit(unsigned flags) { return number("FAKE_STATUS", 0); }

int cuDriverGetVersion(int *version) { *version = number("FAKE_CUDA", 13000); return 0; }

int cuDeviceGetCount(int *count) {
	*count = *gpus() != 0;
	for (const char *c = gpus(); *c; c++) *count += *c == ',';
	return 0;
}

int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }

int cuDeviceGetName(char *name, int size, int device) {
	const char *from = gpus();
	for (; device > 0; device--) from = strchr(from, ',') + 1;
	snprintf(name, size, "%.*s", (int)strcspn(from, ","), from);
	return 0;
}

int cuGetErrorString(int status, const char **text) { *text = "so says the fake"; return 0; }
