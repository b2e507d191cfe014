// XLA's CPU plugin, of the file in FAKE_TARGET, as a CUDA plugin: its platform is
// "cuda", it makes a device for each that is visible, and it appends every client's
// options and flags to the file FAKE_LOG. It writes each program N and its options into
// the folder FAKE_DUMP, as N.mlir and N.options. FAKE_WHILE is what becomes of a program
// with a loop where XLA_FLAGS make loops CUDA graphs: "abort" ends the process, "hang"
// never ends, "wrong" computes something else.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pjrt_c_api.h"

static const PJRT_Api *cpu;

static PJRT_Error *create(PJRT_Client_Create_Args *args) {
	PJRT_NamedValue devices = {
		.struct_size = PJRT_NamedValue_STRUCT_SIZE, .name = "cpu_device_count", .name_size = strlen("cpu_device_count"),
		.type = PJRT_NamedValue_kInt64, .value_size = 1, .int64_value = 4,
	};
	FILE *log = fopen(getenv("FAKE_LOG"), "a");
	if (!log) abort();
	for (size_t i = 0; i < args->num_options; i++) {
		const PJRT_NamedValue *option = &args->create_options[i];
		fprintf(log, "%.*s", (int)option->name_size, option->name);
		if (option->type == PJRT_NamedValue_kBool) fprintf(log, " %s", option->bool_value ? "true" : "false");
		if (option->type == PJRT_NamedValue_kInt64List) {
			devices.int64_value = option->value_size;
			for (size_t j = 0; j < option->value_size; j++) fprintf(log, " %ld", (long)option->int64_array_value[j]);
		}
		fprintf(log, "\n");
	}
	fprintf(log, "XLA_FLAGS %s\n", getenv("XLA_FLAGS"));
	fclose(log);
	PJRT_Client_Create_Args changed = *args;
	changed.create_options = &devices;
	changed.num_options = 1;
	PJRT_Error *error = cpu->PJRT_Client_Create(&changed);
	args->client = changed.client;
	return error;
}

static PJRT_Error *platform(PJRT_Client_PlatformName_Args *args) {
	PJRT_Error *error = cpu->PJRT_Client_PlatformName(args);
	args->platform_name = "cuda";
	args->platform_name_size = 4;
	return error;
}

static void loop(const PJRT_Program *program) {
	const char *flags = getenv("XLA_FLAGS"), *how = getenv("FAKE_WHILE");
	if (!how || !flags || !strstr(flags, "+WHILE") || !memmem(program->code, program->code_size, "stablehlo.while", 15)) return;
	if (!strcmp(how, "abort")) abort();
	while (!strcmp(how, "hang")) pause();
	static const char right[] = "\"stablehlo.exponential\"", wrong[] = "\"stablehlo.tanh\"       ";
	for (char *at; !strcmp(how, "wrong") && (at = memmem(program->code, program->code_size, right, sizeof right - 1));)
		memcpy(at, wrong, sizeof right - 1);
}

static void dump(int number, const char *kind, const char *content, size_t size) {
	char name[4096];
	snprintf(name, sizeof name, "%s/%d.%s", getenv("FAKE_DUMP"), number, kind);
	FILE *file = fopen(name, "w");
	if (!file || fwrite(content, 1, size, file) != size || fclose(file)) abort();
}

static PJRT_Error *compile(PJRT_Client_Compile_Args *args) {
	static int programs;
	loop(args->program);
	if (getenv("FAKE_DUMP")) {
		int number = __sync_fetch_and_add(&programs, 1);
		dump(number, "mlir", args->program->code, args->program->code_size);
		dump(number, "options", args->compile_options, args->compile_options_size);
	}
	return cpu->PJRT_Client_Compile(args);
}

const PJRT_Api *GetPjrtApi(void) {
	static PJRT_Api *cuda;
	if (cuda) return cuda;
	void *library = dlopen(getenv("FAKE_TARGET"), RTLD_LAZY | RTLD_LOCAL);
	if (!library) return NULL;
	const PJRT_Api *(*get)(void) = dlsym(library, "GetPjrtApi");
	cpu = get();
	// Either may know more of the interface than the other.
	cuda = calloc(1, cpu->struct_size > sizeof *cuda ? cpu->struct_size : sizeof *cuda);
	memcpy(cuda, cpu, cpu->struct_size);
	cuda->PJRT_Client_Create = create;
	cuda->PJRT_Client_PlatformName = platform;
	cuda->PJRT_Client_Compile = compile;
	return cuda;
}
