-- One job, durable.
INSERT INTO ceiling (input) VALUES ('{}');
