// message.h: one sentence for the user, on the stack: the problem, then the remedy. Knows nothing else.
#ifndef H5NEURAL_FILTER_MESSAGE_H_
#define H5NEURAL_FILTER_MESSAGE_H_

#include <stdarg.h>
#include <stdio.h>

typedef struct Message {
  char text[1024];
} Message;

// Writes the sentence (cut at the end of the buffer). Returns -1, so that `return message_set(...)` reports
// failure.
__attribute__((format(printf, 2, 3))) static inline int message_set(Message* message, const char* format,
                                                                    ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(message->text, sizeof message->text, format, arguments);
  va_end(arguments);
  return -1;
}

#endif  // H5NEURAL_FILTER_MESSAGE_H_
