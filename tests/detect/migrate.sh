#!/bin/sh
# Prints how many arguments it is given, and each in brackets.
printf '%s' "$#"
printf '[%s]' "$@"
echo
