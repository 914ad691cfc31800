namespace ClusterRnn.Training;
