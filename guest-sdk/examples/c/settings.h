// Reads settings: a JSON object of which this module knows two texts.
#pragma once

#include "text.h"

static module_option_string_t setting_channel, setting_namespace;

static inline const uint8_t *skipped(const uint8_t *at, const uint8_t *end) {
  while (at < end && strchr(" \t\r\n", *at) != NULL) at++;
  return at;
}

// The host writes what is not ASCII as it is, and `\u` for control characters only, which no setting of ours has.
static inline const uint8_t *json_string(const uint8_t *at, const uint8_t *end, text_t *into) {
  if (at == end || *at++ != '"') return NULL;
  for (; at < end && *at != '"'; at++) {
    if (*at == '\\' && (++at == end || strchr("\"\\/", *at) == NULL)) return NULL;
    text_bytes(into, at, 1);
  }
  return at < end ? at + 1 : NULL;
}

static inline bool settings_refused(text_t *why, module_string_t *err) {
  *err = (module_string_t){why->ptr, why->len};
  return false;
}

// Whether they are fine; else `err` is what the operator reads.
static inline bool settings_read(module_string_t json, module_string_t *err) {
  text_t why = {0};
  const uint8_t *end = json.ptr + json.len, *at = skipped(json.ptr, end);
  if (at < end && *at == '{') at = skipped(at + 1, end);
  while (at < end && *at != '}') {
    text_t name = {0}, value = {0};
    at = json_string(at, end, &name);
    module_string_t named = {name.ptr, name.len};
    module_option_string_t *setting =
        same(named, "channel") ? &setting_channel : same(named, "namespace") ? &setting_namespace : NULL;
    if (at != NULL && setting == NULL) {
      text_raw(&why, "unknown field `");
      text_string(&why, named);
      text_raw(&why, "`, expected `channel` or `namespace`");
      return settings_refused(&why, err);
    }
    if (at != NULL) at = skipped(at, end);
    at = at != NULL && at < end && *at == ':' ? json_string(skipped(at + 1, end), end, &value) : NULL;
    if (at == NULL) {
      text_raw(&why, "setting `");
      text_string(&why, named);
      text_raw(&why, "`: is no text: put it in quotes");
      return settings_refused(&why, err);
    }
    *setting = (module_option_string_t){true, {value.ptr, value.len}};
    at = skipped(at, end);
    if (at < end && *at == ',') at = skipped(at + 1, end);
  }
  if (setting_namespace.is_some && setting_namespace.val.len == 0) {
    text_raw(&why, "setting `namespace`: is empty: name a namespace, or leave the setting out");
    return settings_refused(&why, err);
  }
  return true;
}
