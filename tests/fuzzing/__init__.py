"""Every file that the program reads, damaged at random: it must be refused in one line, or make sense."""
