"""What is done to Ortist on purpose. Short forms run with the tests, long ones by command."""
