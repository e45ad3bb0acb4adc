/* Classifies handwritten digits with a network that nirc compiled; no Python, no library.
 *
 *     nirc examples/digits.nir --target cpu -o digits.o              an object file and digits.h
 *     cc -I. -o classify examples/classify_digits.c digits.o
 *
 * or from C alone, for any compiler:
 *
 *     nirc examples/digits.nir --target c -o digits.c
 *     cc -I. -o classify examples/classify_digits.c digits.c
 *
 * Standard input holds samples one after the other, each 40 steps of 16 numbers of type float, as
 *
 *     np.load("examples/digits.npz")["input"].swapaxes(0, 1).astype("f4").tofile("samples.f32")
 *
 * writes them. For each sample one line comes out: the digit.
 */

#include <stdio.h>

#include "digits.h"

enum { STEPS = 40, CLASSES = 10 };

/* Which of the 8 readouts fire for a class, see train_digits.py. */
static const char *const CODES[CLASSES] = {
    "11110000", "11001100", "10101010", "10010110", "10011001",
    "00001111", "00110011", "01010101", "01101001", "01100110",
};

static digits_state network;
static float input[STEPS][DIGITS_INPUT_SIZE];
static uint8_t spikes[STEPS][DIGITS_OUTPUT_SIZE];

/* The class whose readouts fired most, of equals the first. */
static int classify(void)
{
    int best = 0, most = 0;
    for (int class = 0; class < CLASSES; class++) {
        int sum = 0;
        for (int t = 0; t < STEPS; t++)
            for (int n = 0; n < DIGITS_OUTPUT_SIZE; n++)
                sum += CODES[class][n] == '1' ? spikes[t][n] : -spikes[t][n];
        if (class == 0 || sum > most) {
            best = class;
            most = sum;
        }
    }
    return best;
}

int main(void)
{
    digits_init(&network);
    while (fread(input, sizeof input, 1, stdin) == 1) {
        digits_reset(&network);
        digits_run(&network, STEPS, input[0], spikes[0]);
        printf("%d\n", classify());
    }
    return ferror(stdin) || ferror(stdout);
}
