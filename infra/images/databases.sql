-- Run once by the PostgreSQL image, on an empty volume; `hbaf` itself holds the studies.
CREATE DATABASE prefect;
CREATE DATABASE mlflow;
