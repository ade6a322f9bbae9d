// Of one namespace, or of all: a JSON line when the phase of a pod changes, and one for what each container uses.

#include "settings.h"
#include "text.h"

static const uint64_t NANOS = 1000000000;

bool exports_lifecycle_start(module_string_t *settings, exports_lifecycle_context_t *context, module_string_t *err) {
  bool fine = settings_read(*settings, err);
  if (fine) {
    text_t line = {0};
    text_raw(&line, "lines of ");
    if (setting_namespace.is_some) text_string(&line, setting_namespace.val);
    else text_raw(&line, "all namespaces");
    log_line(LOG_LEVEL_DEBUG, &(module_string_t){line.ptr, line.len});
    free(line.ptr);
  }
  // Whatever the host hands over belongs to the module.
  module_string_free(settings);
  exports_lifecycle_context_free(context);
  return fine;
}

static bool wanted(module_string_t namespace) {
  module_string_t only = setting_namespace.val;
  return !setting_namespace.is_some || (only.len == namespace.len && memcmp(only.ptr, namespace.ptr, only.len) == 0);
}

// Pods

static bool is_news(exports_pods_pod_event_t *event) {
  if (!event->previous.is_some || event->change == TYPES_CHANGE_DELETED) return true;
  exports_pods_option_phase_t now = event->pod.phase, before = event->previous.val.phase;
  return now.is_some != before.is_some || (now.is_some && now.val != before.val);
}

static void pod_line(text_t *line, exports_pods_pod_event_t *event) {
  static const char *const changes[] = {"listed", "added", "modified", "deleted"};
  static const char *const phases[] = {"\"pending\"", "\"running\"", "\"succeeded\"", "\"failed\"", "\"unknown\""};
  exports_pods_pod_t *pod = &event->pod;
  text_raw(line, "{\"time\":");
  text_number(line, event->observed_at_unix_nanos / NANOS);
  text_raw(line, ",\"change\":\"");
  text_raw(line, changes[event->change]);
  text_raw(line, "\",\"namespace\":");
  text_json(line, pod->namespace_);
  text_raw(line, ",\"pod\":");
  text_json(line, pod->name);
  text_raw(line, ",\"phase\":");
  text_raw(line, pod->phase.is_some ? phases[pod->phase.val] : "null");
  text_raw(line, ",\"node\":");
  if (pod->node_name.is_some) text_json(line, pod->node_name.val);
  else text_raw(line, "null");
  text_raw(line, ",\"images\":[");
  for (size_t index = 0; index < pod->containers.len; index++) {
    if (index > 0) text_raw(line, ",");
    text_json(line, pod->containers.ptr[index].image);
  }
  text_raw(line, "],\"labels\":{");
  for (size_t index = 0; index < pod->labels.len; index++) {
    if (index > 0) text_raw(line, ",");
    text_json(line, pod->labels.ptr[index].f0);
    text_raw(line, ":");
    text_json(line, pod->labels.ptr[index].f1);
  }
  text_raw(line, "}}");
}

bool exports_pods_handle(exports_pods_list_pod_event_t *events, exports_pods_entries_t *ret, module_string_t *err) {
  packed_t lines = {0};
  for (size_t index = 0; index < events->len; index++) {
    exports_pods_pod_event_t *event = &events->ptr[index];
    if (!wanted(event->pod.namespace_) || !is_news(event)) continue;
    packed_begin(&lines, event->pod.uid);
    pod_line(&lines.text, event);
    packed_end(&lines);
  }
  exports_pods_list_pod_event_free(events);
  packed_return(&lines, setting_channel, ret);
  return true;
}

// Subjects: ids are small and never reused, so a list sorted by id is a map, and what comes is most often the last.

typedef struct {
  uint32_t id;
  bool wanted;
  module_string_t uid;
  // Who it is in its lines, rendered once.
  module_string_t names;
} subject_t;

static struct {
  subject_t *ptr;
  size_t len, room;
} known;

// The first one whose id is not less.
static subject_t *place(uint32_t id) {
  size_t low = 0, high = known.len;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (known.ptr[middle].id < id) low = middle + 1;
    else high = middle;
  }
  return known.ptr + low;
}

static subject_t *find(uint32_t id) {
  subject_t *found = place(id);
  return found < known.ptr + known.len && found->id == id ? found : NULL;
}

static void forget(uint32_t id) {
  subject_t *subject = find(id);
  if (subject == NULL) return;
  module_string_free(&subject->uid);
  module_string_free(&subject->names);
  known.len--;
  memmove(subject, subject + 1, (known.ptr + known.len - subject) * sizeof *subject);
}

static subject_t described(exports_subjects_subject_t *subject) {
  subject_t made = {.id = subject->id};
  made.wanted = subject->kind == EXPORTS_SUBJECTS_SUBJECT_KIND_CONTAINER && wanted(subject->namespace_);
  if (!made.wanted) return made;
  module_string_t pod = {0};
  for (size_t index = 0; index < subject->attributes.len; index++) {
    types_pair_t *attribute = &subject->attributes.ptr[index];
    if (same(attribute->f0, "pod-name")) pod = attribute->f1;
  }
  text_t names = {0};
  text_raw(&names, "\"namespace\":");
  text_json(&names, subject->namespace_);
  text_raw(&names, ",\"pod\":");
  text_json(&names, pod);
  text_raw(&names, ",\"container\":");
  text_json(&names, subject->name);
  made.names = (module_string_t){names.ptr, names.len};
  module_string_dup_n(&made.uid, (char *)subject->uid.ptr, subject->uid.len);
  return made;
}

void exports_subjects_define(exports_subjects_list_subject_t *subjects) {
  for (size_t index = 0; index < subjects->len; index++) {
    subject_t made = described(&subjects->ptr[index]);
    forget(made.id);
    if (known.len == known.room) {
      known.room = 2 * known.room + 64;
      known.ptr = grown(known.ptr, known.room * sizeof *known.ptr);
    }
    subject_t *at = place(made.id);
    memmove(at + 1, at, (known.ptr + known.len - at) * sizeof *at);
    *at = made;
    known.len++;
  }
  exports_subjects_list_subject_free(subjects);
}

void exports_subjects_forget(exports_subjects_list_subject_id_t *subjects) {
  for (size_t index = 0; index < subjects->len; index++) forget(subjects->ptr[index]);
  exports_subjects_list_subject_id_free(subjects);
}

// Samples

static int32_t cpu_usage = -1, memory_usage = -1;

void exports_samples_metrics(exports_samples_list_metric_t *metrics) {
  for (size_t index = 0; index < metrics->len; index++) {
    exports_samples_metric_t *metric = &metrics->ptr[index];
    if (same(metric->name, "cpu-usage")) cpu_usage = metric->id;
    if (same(metric->name, "memory-usage")) memory_usage = metric->id;
  }
  exports_samples_list_metric_free(metrics);
}

static void container_line(packed_t *lines, uint64_t time, subject_t *subject, exports_samples_increase_t *cpu, uint64_t *memory) {
  text_t *line = &lines->text;
  packed_begin(lines, subject->uid);
  text_raw(line, "{\"time\":");
  text_number(line, time);
  text_raw(line, ",");
  text_string(line, subject->names);
  if (cpu != NULL) {
    // Thousandths of a processor, rounded down.
    uint64_t over = cpu->over_nanoseconds / 1000;
    text_raw(line, ",\"cpu-millis\":");
    text_number(line, cpu->amount / (over > 0 ? over : 1));
  }
  if (memory != NULL) {
    text_raw(line, ",\"memory-bytes\":");
    text_number(line, *memory);
  }
  text_raw(line, "}");
  packed_end(lines);
}

static bool refused(exports_samples_tick_t *tick, packed_t *lines, uint32_t id, module_string_t *err) {
  text_t why = {0};
  text_raw(&why, "subject ");
  text_number(&why, id);
  text_raw(&why, " was never defined");
  *err = (module_string_t){why.ptr, why.len};
  free(lines->text.ptr);
  free(lines->ends);
  exports_samples_tick_free(tick);
  return false;
}

bool exports_samples_handle(exports_samples_tick_t *tick, exports_samples_entries_t *ret, module_string_t *err) {
  packed_t lines = {0};
  exports_samples_sample_t *at = tick->samples.ptr, *end = at + tick->samples.len;
  while (at < end) {
    uint32_t id = at->subject;
    exports_samples_increase_t *cpu = NULL;
    uint64_t *memory = NULL;
    // All samples of a subject stand together.
    for (; at < end && at->subject == id; at++) {
      exports_samples_reading_t *reading = &at->reading;
      bool counts = reading->tag == EXPORTS_SAMPLES_READING_COUNTER && reading->val.counter.increase.is_some;
      if (at->metric == cpu_usage && counts) cpu = &reading->val.counter.increase.val;
      if (at->metric == memory_usage && reading->tag == EXPORTS_SAMPLES_READING_VALUE) memory = &reading->val.value;
    }
    subject_t *subject = find(id);
    if (subject == NULL) return refused(tick, &lines, id, err);
    if (subject->wanted && (cpu != NULL || memory != NULL)) {
      container_line(&lines, tick->observed_at_unix_nanos / NANOS, subject, cpu, memory);
    }
  }
  exports_samples_tick_free(tick);
  packed_return(&lines, setting_channel, ret);
  return true;
}
