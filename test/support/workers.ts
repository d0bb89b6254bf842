/** How many test files run side by side: they wait more than they work. */
export const workers = 6;
