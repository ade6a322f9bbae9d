// A text that grows, JSON in it, and messages packed into it. No printf: it would ask for WASI, which a module has not.
#pragma once

#include <stdlib.h>
#include <string.h>

#include "module.h"

typedef struct {
  uint8_t *ptr;
  size_t len, room;
} text_t;

// Memory that cannot be had ends the instance, and the host starts a fresh one.
static inline void *grown(void *old, size_t size) {
  void *memory = realloc(old, size);
  if (memory == NULL) __builtin_trap();
  return memory;
}

static inline void text_bytes(text_t *text, const void *bytes, size_t len) {
  if (text->len + len > text->room) {
    text->room = 2 * (text->len + len);
    text->ptr = grown(text->ptr, text->room);
  }
  memcpy(text->ptr + text->len, bytes, len);
  text->len += len;
}

static inline void text_raw(text_t *text, const char *raw) { text_bytes(text, raw, strlen(raw)); }

static inline void text_string(text_t *text, module_string_t string) { text_bytes(text, string.ptr, string.len); }

static inline void text_number(text_t *text, uint64_t number) {
  char digits[20];
  size_t first = sizeof digits;
  do {
    digits[--first] = '0' + number % 10;
    number /= 10;
  } while (number > 0);
  text_bytes(text, digits + first, sizeof digits - first);
}

// With its quotes.
static inline void text_json(text_t *text, module_string_t string) {
  text_raw(text, "\"");
  size_t plain = 0;
  for (size_t at = 0; at < string.len; at++) {
    uint8_t byte = string.ptr[at];
    if (byte >= 0x20 && byte != '"' && byte != '\\') continue;
    text_bytes(text, string.ptr + plain, at - plain);
    plain = at + 1;
    const char *hex = "0123456789abcdef";
    const char *letter = byte == 0 ? NULL : strchr("\"\"\\\\\bb\ff\nn\rr\tt", byte);
    if (letter != NULL) text_bytes(text, (char[]){'\\', letter[1]}, 2);
    else text_bytes(text, (char[]){'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]}, 6);
  }
  text_bytes(text, string.ptr + plain, string.len - plain);
  text_raw(text, "\"");
}

static inline bool same(module_string_t one, const char *other) {
  return one.len == strlen(other) && memcmp(one.ptr, other, one.len) == 0;
}

// Many messages in one text, without channels of their own.
typedef struct {
  text_t text;
  types_packed_end_t *ends;
  size_t len, room;
} packed_t;

// Writes the key; the body is what is then appended to `packed->text`, up to `packed_end`.
static inline void packed_begin(packed_t *packed, module_string_t key) {
  if (packed->len == packed->room) {
    packed->room = 2 * packed->room + 16;
    packed->ends = grown(packed->ends, packed->room * sizeof *packed->ends);
  }
  uint32_t channel_end = packed->text.len;
  text_string(&packed->text, key);
  packed->ends[packed->len] = (types_packed_end_t){.channel_end = channel_end, .key_end = packed->text.len};
}

static inline void packed_end(packed_t *packed) { packed->ends[packed->len++].body_end = packed->text.len; }

// What a handler returns; the bindings free it once the host has read it.
static inline void packed_return(packed_t *packed, module_option_string_t channel, types_entries_t *ret) {
  *ret = (types_entries_t){.tag = TYPES_ENTRIES_PLAIN};
  if (packed->len == 0) return;
  ret->tag = TYPES_ENTRIES_PACKED;
  ret->val.packed.text = (module_string_t){packed->text.ptr, packed->text.len};
  ret->val.packed.ends = (types_list_packed_end_t){packed->ends, packed->len};
  if (channel.is_some) {
    ret->val.packed.channel.is_some = true;
    module_string_dup_n(&ret->val.packed.channel.val, (char *)channel.val.ptr, channel.val.len);
  }
}
