// Compiles a StableHLO program for a GPU that is not there, with the CUDA plugin alone:
// aot PLUGIN TARGET.txtpb PROGRAM.mlir PROGRAM.options. It prints the seconds that took and
// the bytes of device memory; XLA_FLAGS=--xla_dump_to=FOLDER has XLA write what it made.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "pjrt_c_api.h"

static const PJRT_Api* api;

static char* slurp(const char* name, size_t* size) {
  FILE* f = fopen(name, "rb");
  if (!f) { perror(name); exit(2); }
  fseek(f, 0, SEEK_END); *size = ftell(f); rewind(f);
  char* content = malloc(*size + 1);
  if (fread(content, 1, *size, f) != *size) { perror(name); exit(2); }
  fclose(f);
  return content;
}
static void check(const char* what, PJRT_Error* e) {
  if (!e) return;
  PJRT_Error_Message_Args m = {.struct_size = PJRT_Error_Message_Args_STRUCT_SIZE, .error = e};
  api->PJRT_Error_Message(&m);
  fprintf(stderr, "%s: %.*s\n", what, (int)m.message_size, m.message);
  exit(1);
}
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}
static PJRT_NamedValue text(const char* name, const char* value, size_t size) {
  PJRT_NamedValue v = {.struct_size = PJRT_NamedValue_STRUCT_SIZE, .name = name, .name_size = strlen(name),
                       .type = PJRT_NamedValue_kString, .string_value = value, .value_size = size};
  return v;
}
int main(int argc, char** argv) {
  if (argc != 5) { fprintf(stderr, "usage: aot PLUGIN TARGET.txtpb PROGRAM.mlir PROGRAM.options\n"); return 2; }
  void* plugin = dlopen(argv[1], RTLD_LAZY | RTLD_LOCAL);
  if (!plugin) { fprintf(stderr, "%s\n", dlerror()); return 1; }
  api = ((const PJRT_Api* (*)(void))dlsym(plugin, "GetPjrtApi"))();
  PJRT_Plugin_Initialize_Args init = {.struct_size = PJRT_Plugin_Initialize_Args_STRUCT_SIZE};
  check("initialize", api->PJRT_Plugin_Initialize(&init));
  size_t target_size, program_size, options_size;
  char *target = slurp(argv[2], &target_size), *program = slurp(argv[3], &program_size), *options = slurp(argv[4], &options_size);

  PJRT_NamedValue of_target[] = {text("target_config", target, target_size), text("topology", "1x1x1", 5)};
  PJRT_TopologyDescription_Create_Args topology = {.struct_size = PJRT_TopologyDescription_Create_Args_STRUCT_SIZE,
                                                   .topology_name = "", .create_options = of_target, .num_options = 2};
  check("target", api->PJRT_TopologyDescription_Create(&topology));
  PJRT_Program code = {.struct_size = PJRT_Program_STRUCT_SIZE, .code = program, .code_size = program_size,
                       .format = "mlir", .format_size = 4};
  PJRT_Compile_Args compile = {.struct_size = PJRT_Compile_Args_STRUCT_SIZE, .topology = topology.topology, .program = &code,
                               .compile_options = options, .compile_options_size = options_size};
  double start = now();
  check("compile", api->PJRT_Compile(&compile));
  double seconds = now() - start;
  PJRT_Executable_GetCompiledMemoryStats_Args m = {.struct_size = PJRT_Executable_GetCompiledMemoryStats_Args_STRUCT_SIZE,
                                                   .executable = compile.executable};
  check("memory", api->PJRT_Executable_GetCompiledMemoryStats(&m));
  printf("%.2f %ld %ld %ld %ld\n", seconds, (long)m.argument_size_in_bytes, (long)m.output_size_in_bytes,
         (long)m.temp_size_in_bytes, (long)m.alias_size_in_bytes);
  return 0;
}
