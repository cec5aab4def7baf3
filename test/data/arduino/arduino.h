// What the example for an ESP32 uses of Arduino, for a test on a PC: it prints what it is asked to do.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

using String = std::string;

struct {
  void begin(int) {}
  void println(const char *text) { printf("serial %s\n", text); }
} Serial;

struct {
  void restart() { exit(1); }
} ESP;

inline void delay(unsigned long ms) { printf("delay %lu\n", ms); }
