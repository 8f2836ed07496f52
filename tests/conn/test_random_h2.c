/* test_random_h2.c - random operations on an HTTP/2 connection, thousands of courses of events. */
#include "tests/conn/random.h"

START_TEST(every_course_of_events_keeps_the_promises)
{
	random_run(true, 3000);
}
END_TEST

int main(void)
{
	return random_main("random_h2", every_course_of_events_keeps_the_promises);
}
